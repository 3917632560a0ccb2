"""Somebody inside swaps names for links while the host reads, writes and deletes by them."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentrt.containers.workspaces import Tree
from agentrt.kernel import AgentrtError

ROUNDS_S, AT_MOST_S = 1.0, 30.0


@pytest.fixture
def raced(tree: Tree, tmp_path: Path) -> Iterator[Path]:
    """The folder of the secret, while `dir` and `file` in the workspace are swapped for links to it and back."""
    secret = tmp_path / "outside"
    secret.mkdir()
    (secret / "secret").write_text("SECRET")
    program = Path(__file__).with_name("racer.py")
    with subprocess.Popen(
        [sys.executable, "-I", "-S", str(program), str(tmp_path / "files"), str(secret)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as racer:
        assert racer.stdout and racer.stdin
        assert racer.stdout.readline() == b"ready\n"
        yield secret
        racer.stdin.close()


def tried(ask: Callable[[], object], *, both: bool = True) -> tuple[int, int]:
    """How often it was answered and how often refused in a second, or in however long it takes to see `both`."""
    answered = refused = 0
    began = time.monotonic()
    while (spent := time.monotonic() - began) < ROUNDS_S or (both and not (answered and refused) and spent < AT_MOST_S):
        try:
            ask()
            answered += 1
        except AgentrtError:
            refused += 1
    return answered, refused


def test_nothing_outside_is_ever_read(tree: Tree, raced: Path) -> None:
    def read() -> None:
        assert b"SECRET" not in tree.read("dir/secret")
        assert b"SECRET" not in tree.read("file")

    answered, refused = tried(read)
    assert answered and refused


def test_nothing_outside_is_ever_written_or_made(tree: Tree, raced: Path) -> None:
    def write() -> None:
        tree.write("dir/secret", b"mine")
        tree.mkdir("dir/a/b")
        tree.write("file", b"mine")

    _, refused = tried(write)
    assert refused
    assert [path.name for path in raced.rglob("*")] == ["secret"] and (raced / "secret").read_text() == "SECRET"


def test_nothing_outside_is_ever_deleted(tree: Tree, raced: Path) -> None:
    (raced / "more").mkdir()

    def delete() -> None:
        for path in ("dir/secret", "dir/more"):
            try:
                tree.delete(path, recursive=True)
            except AgentrtError:
                continue

    tried(delete, both=False)
    assert {path.name for path in raced.iterdir()} == {"secret", "more"}


def test_nothing_outside_is_ever_listed_or_packed(tree: Tree, raced: Path) -> None:
    (raced / "telling").write_text("SECRET")

    def look() -> None:
        assert "telling" not in str(tree.list(recursive=True)) and "telling" not in str(tree.glob("**"))
        assert not any("telling" in path for path in tree.snapshot().files)
        assert b"telling" not in b"".join(tree.zip())

    answered, _ = tried(look, both=False)
    assert answered
