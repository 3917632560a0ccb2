"""The files of a workspace from outside."""

import fcntl
import io
import os
import signal
import socket
import stat
import zipfile
from pathlib import Path

import pytest

from agentrt.containers.workspaces import Tree
from agentrt.kernel import AgentrtError, Invalid, NotFound, TooLarge, Unavailable


def paths(listing) -> list[str]:
    return [entry.path for entry in listing.entries]


def test_what_is_written_can_be_read_in_parts(tree: Tree) -> None:
    tree.write("a/b/c.txt", b"0123456789")
    assert tree.read("a/b/c.txt") == b"0123456789"
    assert tree.read("a/b/c.txt", offset=3, limit=4) == b"3456"
    assert tree.read("./a//b/c.txt", offset=20) == b""
    assert (tree.stat("a/b/c.txt").kind, tree.stat("a/b/c.txt").size, tree.stat("a").kind) == ("file", 10, "folder")


def test_a_file_that_is_written_over_keeps_its_mode_and_nothing_lies_beside_it(tree: Tree, tmp_path: Path) -> None:
    tree.write("run.sh", b"one")
    (tmp_path / "files/run.sh").chmod(0o4755)
    tree.write("run.sh", b"two")
    assert stat.S_IMODE((tmp_path / "files/run.sh").stat().st_mode) == 0o755
    assert tree.read("run.sh") == b"two" and os.listdir(tmp_path / "files") == ["run.sh"]


def test_a_file_that_is_not_written_to_its_end_is_not_there(tree: Tree, tmp_path: Path) -> None:
    tree.write("a.txt", b"before")
    with pytest.raises(LookupError), tree.writing("a.txt") as file:
        file.write(b"half")
        raise LookupError
    with pytest.raises(TooLarge) as refused:
        tree.write("a.txt", b"x" * 101, most_bytes=100)
    assert refused.value.code == "file_too_large"
    assert tree.read("a.txt") == b"before" and os.listdir(tmp_path / "files") == ["a.txt"]


def test_a_large_file_is_streamed_and_one_beyond_the_cap_refused(tree: Tree) -> None:
    tree.write("a.bin", bytes(3_000_000))
    with tree.open("a.bin", most_bytes=3_000_000) as found:
        assert (found.size, sum(len(piece) for piece in iter(lambda: found.file.read(65536), b""))) == (3_000_000, 3_000_000)
    with pytest.raises(TooLarge), tree.open("a.bin", most_bytes=2_999_999):
        pass


BAD = [
    "/etc/passwd",
    "../secret",
    "a/../../secret",
    "..",
    "a\nb",
    "a\0b",
    "a\x1bb",
    "\x7f",
    "x" * 256,
    "a/" * 2500 + "a",
    "a\udc80",
]


@pytest.mark.parametrize("path", BAD)
def test_a_path_that_is_none_is_one_clear_error_for_whatever_is_asked(tree: Tree, path: str) -> None:
    asked = [
        lambda: tree.read(path),
        lambda: tree.write(path, b""),
        lambda: tree.open(path).__enter__(),
        lambda: tree.list(path),
        lambda: tree.glob("*", path),
        lambda: tree.glob(path),
        lambda: tree.delete(path),
        lambda: tree.mkdir(path),
        lambda: tree.stat(path),
        lambda: tree.zip(path),
        lambda: tree.move(path, "b"),
        lambda: tree.move("b", path),
    ]
    for ask in asked:
        with pytest.raises(Invalid) as refused:
            ask()
        assert refused.value.code == "invalid_path" and refused.value.message.isprintable()


@pytest.mark.parametrize("path", ["", ".", "./"])
def test_the_workspace_itself_is_no_file(tree: Tree, path: str) -> None:
    for ask in (lambda: tree.read(path), lambda: tree.write(path, b""), lambda: tree.delete(path, recursive=True)):
        with pytest.raises(Invalid):
            ask()
    assert tree.list(path).entries == ()


def test_what_is_not_there_is_not_found(tree: Tree) -> None:
    tree.write("file", b"")
    for ask in (tree.read, tree.stat, tree.list, tree.delete, tree.zip):
        with pytest.raises(NotFound) as missing:
            ask("no/such")
        assert missing.value.code == "path_not_found"
    with pytest.raises(Invalid, match="leads through something that is no folder"):
        tree.read("file/below")


@pytest.fixture
def odd(tree: Tree, tmp_path: Path) -> Path:
    """Everything that is no regular file."""
    files = tmp_path / "files"
    os.mkfifo(files / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(files)
        listener.bind("socket")
        os.chdir(here)
    (files / "link").symlink_to(tmp_path / "secret")
    (files / "up").symlink_to("..")
    (files / "here").symlink_to(".")
    (files / "proc").symlink_to("/proc/self")
    (files / "dangling").symlink_to("nowhere")
    (files / "loop").symlink_to("loop")
    (files / "folder").mkdir()
    if os.geteuid() == 0:
        os.mknod(files / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    return files


ODD = ["fifo", "socket", "zero", "link", "dangling", "loop", "up/secret", "here/link", "proc/environ", "proc/root/etc/passwd"]


@pytest.mark.parametrize("path", ODD)
def test_links_pipes_sockets_and_devices_are_neither_read_nor_followed(tree: Tree, odd: Path, path: str) -> None:
    if path == "zero" and not (odd / "zero").exists():
        pytest.skip("making a device needs root")
    for ask in (lambda: tree.read(path), lambda: tree.write(path, b"mine"), lambda: tree.list(path), lambda: tree.zip(path)):
        with pytest.raises(Invalid) as refused:
            ask()
        assert refused.value.code in ("not_a_file", "not_a_folder", "invalid_path")
    assert (odd.parent / "secret").read_text() == "secret"


def test_a_link_is_told_as_one_and_can_be_removed_while_what_it_leads_to_stays(tree: Tree, odd: Path) -> None:
    assert tree.stat("link").kind == "link" and tree.stat("fifo").kind == "other"
    tree.write("folder/keep/a", b"")
    (odd / "folder/out").symlink_to(odd.parent)
    (odd / "folder/keep/out").symlink_to("/")
    tree.delete("folder", recursive=True)
    tree.delete("link")
    tree.delete("fifo")
    assert (odd.parent / "secret").read_text() == "secret" and not (odd / "folder").exists() and not (odd / "link").is_symlink()


def test_a_folder_is_listed_flat_or_with_all_below_it(tree: Tree) -> None:
    for path in ("a.txt", "b/c.txt", "b/.hidden/d.txt"):
        tree.write(path, b"12")
    assert paths(tree.list()) == ["a.txt", "b"]
    assert paths(tree.list("b")) == ["b/.hidden", "b/c.txt"]
    assert paths(tree.list(recursive=True)) == ["a.txt", "b", "b/.hidden", "b/.hidden/d.txt", "b/c.txt"]
    assert [(entry.kind, entry.size) for entry in tree.list().entries] == [("file", 2), ("folder", 0)]


def test_more_than_may_be_listed_is_said_to_be_more(tree: Tree, tmp_path: Path) -> None:
    for n in range(20):
        tree.write(f"d{n}/f", b"")
    assert tree.list(recursive=True, most=40).complete
    assert not tree.list(recursive=True, most=39).complete and len(tree.list(most=10).entries) == 10
    assert not tree.list(most=10).complete and not tree.snapshot(most=10).complete
    assert not tree.glob("*", most=5).complete
    with pytest.raises(TooLarge):
        tree.zip(most_files=10)


def test_names_that_nobody_can_ask_for_are_not_shown(tree: Tree, tmp_path: Path) -> None:
    for name in (b"new\nline", b"\xff\xfe", b"esc\x1b[2J", b"fine"):
        (tmp_path / "files" / os.fsdecode(name)).write_bytes(b"")
    assert paths(tree.list(recursive=True)) == ["fine"]
    assert list(tree.snapshot().files) == ["fine"]


GLOBS = {
    "*.py": ["a.py"],
    "**/*.py": ["a.py", "x/b.py", "x/y/c.py"],
    "x/**": ["x", "x/b.py", "x/n.txt", "x/y", "x/y/c.py"],
    "**/y/*": ["x/y/c.py"],
    "x/?.py": ["x/b.py"],
    "[ax].*": ["a.py"],
    ".*/*.py": [".h/z.py"],
    "**/.h/**": [".h", ".h/z.py"],
    "nothing/*": [],
    "**": ["a.py", "x", "x/b.py", "x/n.txt", "x/y", "x/y/c.py"],
}


@pytest.mark.parametrize("pattern", GLOBS)
def test_patterns_match_as_in_a_shell(tree: Tree, pattern: str) -> None:
    for path in ("a.py", "x/b.py", "x/n.txt", "x/y/c.py", ".h/z.py"):
        tree.write(path, b"")
    assert paths(tree.glob(pattern)) == GLOBS[pattern]


def test_a_pattern_starts_where_it_is_told_to(tree: Tree) -> None:
    tree.write("x/y/c.py", b"")
    assert paths(tree.glob("**/*.py", "x")) == ["x/y/c.py"] and paths(tree.glob("c.py", "x/y")) == ["x/y/c.py"]


def test_a_pattern_that_is_made_to_take_long_does_not(tree: Tree) -> None:
    tree.write("/".join(["a"] * 60) + "/" + "a" * 200, b"")
    assert paths(tree.glob("/".join(["**", "a"] * 30) + "/b")) == []
    assert paths(tree.glob("**/" + "*a" * 60 + "b")) == []
    with pytest.raises(Invalid):
        tree.glob("/".join(["**"] * 65))


def test_what_one_execution_created_or_changed_is_found(tree: Tree, tmp_path: Path) -> None:
    for name in ("same", "changed", "replaced", "removed"):
        tree.write(name, b"1")
    before = tree.snapshot()
    (tmp_path / "files/changed").write_bytes(b"2")
    os.utime(tmp_path / "files/changed", ns=(1, 1))
    tree.write("replaced", b"1")
    tree.write("new/chart.png", b"")
    tree.delete("removed")
    assert tree.snapshot().since(before) == ["changed", "new/chart.png", "replaced"]


def test_a_workspace_is_packed_as_a_zip_without_links(tree: Tree, odd: Path) -> None:
    tree.write("a/é.txt", b"hello" * 1000)
    tree.write("a/old.txt", b"")
    os.utime(odd / "a/old.txt", ns=(-(10**18), -(10**18)))
    tree.write("a/big.bin", os.urandom(5_000_000))
    pieces = list(tree.zip())
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as packed:
        assert packed.namelist() == ["a/big.bin", "a/old.txt", "a/é.txt"] and packed.testzip() is None
        assert packed.read("a/é.txt") == b"hello" * 1000
    assert len(pieces) > 4
    with zipfile.ZipFile(io.BytesIO(b"".join(tree.zip("a")))) as packed:
        assert packed.namelist() == ["big.bin", "old.txt", "é.txt"]


def test_a_file_that_goes_or_turns_into_a_link_while_it_is_packed_is_left_out(tree: Tree, odd: Path) -> None:
    for name in ("1", "2", "3"):
        tree.write(f"a/{name}", b"x")
    packing = tree.zip("a")
    tree.delete("a/1")
    tree.delete("a/2")
    (odd / "a/2").symlink_to(odd.parent / "secret")
    with zipfile.ZipFile(io.BytesIO(b"".join(packing))) as packed:
        assert packed.namelist() == ["3"]


def test_no_name_in_a_zip_leads_out_of_where_it_is_unpacked(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "files" / "..\\..\\autostart.bat").write_bytes(b"")
    with zipfile.ZipFile(io.BytesIO(b"".join(tree.zip()))) as packed:
        assert packed.namelist() == ["..%5C..%5Cautostart.bat"]


def test_too_much_to_pack_is_refused_before_the_first_byte(tree: Tree, tmp_path: Path) -> None:
    with open(tmp_path / "files/sparse", "wb") as file:
        file.truncate(10**12)
    with pytest.raises(TooLarge) as refused:
        tree.zip()
    assert refused.value.code == "workspace_too_large"


def test_deleting_wants_to_be_told_twice_for_a_folder_with_something_in_it(tree: Tree) -> None:
    tree.write("a/b/c", b"")
    with pytest.raises(Invalid) as refused:
        tree.delete("a")
    assert refused.value.code == "folder_not_empty"
    tree.delete("a", recursive=True)
    tree.mkdir("e/f")
    tree.delete("e/f")
    assert paths(tree.list(recursive=True)) == ["e"]


def test_a_folder_of_any_depth_cannot_break_what_goes_through_it(tree: Tree, tmp_path: Path) -> None:
    at = os.open(tmp_path / "files", os.O_RDONLY)
    for _ in range(200):
        os.mkdir("d" * 100, dir_fd=at)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    listing = tree.list(recursive=True)
    assert max(len(entry.path) for entry in listing.entries) == 3938
    assert tree.list(recursive=True, most=30).complete is False
    assert tree.snapshot().files == {} and tree.glob("**/x").entries == ()
    with pytest.raises(Invalid) as refused:
        tree.delete("d" * 100, recursive=True)
    assert refused.value.code == "too_deep"


def test_moving_writes_over_nothing(tree: Tree) -> None:
    tree.write("a", b"1")
    tree.write("b", b"2")
    with pytest.raises(Invalid) as refused:
        tree.move("a", "b")
    assert refused.value.code == "path_exists"
    tree.move("a", "c/d")
    assert tree.read("c/d") == b"1" and tree.read("b") == b"2"
    with pytest.raises(NotFound):
        tree.move("a", "e")


def test_no_error_tells_where_a_workspace_lies(tree: Tree, odd: Path) -> None:
    for ask in (tree.read, tree.list, tree.zip, tree.delete, lambda p: tree.write(p, b"")):
        for path in ("no", "fifo/x", "link", "../x", "folder", "socket"):
            try:
                ask(path)
            except AgentrtError as exc:
                assert str(odd.parent) not in exc.message


def test_a_tree_that_was_closed_reaches_nothing_not_even_by_its_old_number(tree: Tree, tmp_path: Path) -> None:
    tree.write("a/b", b"x")
    packing, number = tree.zip(), tree.descriptor
    tree.close()
    other = os.open(tmp_path, os.O_RDONLY)
    try:
        assert other != number
        for ask in (lambda: tree.read("a/b"), tree.list, lambda: tree.write("c", b""), lambda: tree.descriptor):
            with pytest.raises(Unavailable):
                ask()
        with pytest.raises(Unavailable):
            list(packing)
    finally:
        os.close(other)


def test_what_is_closed_while_something_is_written_says_so(tree: Tree) -> None:
    with pytest.raises(Unavailable), tree.writing("a") as file:
        file.write(b"x")
        tree.close()


@pytest.mark.parametrize("offset", [10, 2**63, 2**70])
def test_reading_from_behind_the_end_gives_nothing(tree: Tree, offset: int) -> None:
    tree.write("a", b"0123456789")
    assert tree.read("a", offset) == b"" and tree.read("a", -5, 3) == b"012" and tree.read("a", 0, -1) == b""


def test_a_file_that_somebody_leases_is_refused_at_once(tree: Tree, tmp_path: Path) -> None:
    """The kernel makes others wait for whoever has a lease, three quarters of a minute for each file."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with (tmp_path / "files" / "leased").open("w") as file:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            with pytest.raises(Invalid, match="held by a program"):
                tree.read("leased")
            assert tree.stat("leased").kind == "file"
            tree.delete("leased")
    finally:
        signal.signal(signal.SIGIO, before)


def test_long_names_count_for_more(tree: Tree, tmp_path: Path) -> None:
    folder = tmp_path / "files" / "/".join(["d" * 200] * 10)
    folder.mkdir(parents=True)
    for number in range(100):
        (folder / f"{number:03}").touch()
    listing = tree.list(recursive=True, most=150)
    assert not listing.complete and 10 < len(listing.entries) < 40
    assert not tree.snapshot(150).complete
