"""What one execution made is told, also in a workspace that holds more than can be looked at."""

from pathlib import Path

from agentrt.containers.workspaces import Tree


def test_what_tools_keep_for_themselves_takes_no_room(tree: Tree) -> None:
    before = tree.snapshot(10)
    for n in range(10):
        tree.write(f".packages/deep/{n}.py", b"")
        tree.write(f"app/node_modules/{n}/index.js", b"")
        tree.write(f"app/__pycache__/{n}.pyc", b"")
    tree.write("app/main.py", b"")
    after = tree.snapshot(10)
    assert after.complete and after.since(before) == ["app/main.py"]


def test_whoever_hides_very_many_files_makes_nobody_go_through_all_of_them(tree: Tree) -> None:
    for n in range(1000):
        tree.write(f".{n}", b"")
    assert not tree.snapshot(10).complete and tree.snapshot(20).complete


def test_beside_more_files_than_are_looked_at_new_ones_are_found(tree: Tree, tmp_path: Path) -> None:
    for n in range(20):
        tree.write(f"data/deep/{n:02}", b"")
    tree.write("notes", b"1")
    before = tree.snapshot(15)
    assert not before.complete
    tree.write("notes", b"23")
    tree.write("chart.png", b"")
    tree.write("out/table.csv", b"")
    assert tree.snapshot(15).since(before) == ["chart.png", "notes", "out/table.csv"]


def test_what_may_have_been_there_before_is_not_taken_for_new(tree: Tree) -> None:
    for n in range(20):
        tree.write(f"data/{n:02}", b"")
    before = tree.snapshot(10)
    assert 0 < len(before.files) < 20
    assert tree.snapshot(100).since(before) == []
    tree.write(next(iter(before.files)), b"changed")
    assert tree.snapshot(100).since(before) == [next(iter(before.files))]
    assert tree.snapshot(100).since(tree.snapshot(0)) == [], "nothing was looked at"


def test_a_folder_that_is_made_beside_too_many_files_is_new_as_far_as_it_is_seen(tree: Tree) -> None:
    before = tree.snapshot(10)
    for n in range(20):
        tree.write(f"made/{n:02}", b"")
    after = tree.snapshot(10)
    assert not after.complete and after.since(before) == sorted(after.files) and after.files
