"""Folders of the operator are shown under names that tell nothing, for as long as it takes to start a box."""

import os
from pathlib import Path

import pytest
import structlog

from agentrt.containers.engines import Mount
from agentrt.containers.pool.lending import Lender
from fixtures.slots import mounted_below


@pytest.fixture
def tools(home: Path) -> Mount:
    (home / "tools").mkdir()
    (home / "tools/tool").write_text("first")
    return Mount(source=home / "tools", target="/tools")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_what_was_lent_is_taken_back(home: Path, tools: Mount) -> None:
    lender = Lender((tools, tools), home / "run", can_mount=True)
    one, two = lender.lend("box1"), lender.lend("box2")
    assert len({mount.source for mount in (*one, *two)}) == 4 and {mount.target for mount in one} == {"/tools"}
    assert all((mount.source / "tool").read_text() == "first" for mount in (*one, *two))
    lender.take_back("box1")
    assert [mount.source.exists() for mount in (*one, *two)] == [False, False, True, True]
    with pytest.raises(OSError, match="Read-only"):
        (two[0].source / "x").touch()
    Lender((tools,), home / "run", can_mount=True).clear()  # as the next server does after this one was killed
    assert mounted_below(home / "run") == [] and list((home / "run").iterdir()) == []
    assert (home / "tools/tool").read_text() == "first"


def test_what_cannot_be_shown_otherwise_is_shown_as_it_is(home: Path, tools: Mount) -> None:
    assert Lender((tools,), home / "run", can_mount=False).lend("box1") == (tools,)
    gone = Mount(source=home / "gone", target="/gone")
    with structlog.testing.capture_logs() as said:
        lender = Lender((gone,), home / "run", can_mount=True)
        assert lender.lend("box1") == (gone,)
    assert [line["event"] for line in said] == ["folder.path_shows"]
    lender.clear()
    assert not (home / "run" / "lent").exists()
