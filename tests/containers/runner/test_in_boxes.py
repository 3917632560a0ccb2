# ruff: noqa: F401 (what is imported here is run here, with the `box` of this file)
"""In real boxes: the same attempts from inside as in test_attacks, and what takes an image."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentrt.containers import Limits
from agentrt.containers.engines import BoxSpec, Engine, Mount
from agentrt.containers.runner import COMMAND, RUNNER, Dock

from .conftest import UID, Desk
from .test_attacks import (
    test_a_fork_bomb_is_over_when_its_time_is,
    test_a_kernel_can_lie_about_its_own_job_only,
    test_a_spare_that_was_stopped_does_its_next_job,
    test_closing_everything_ends_nobody_but_oneself,
    test_descriptors_that_a_child_sends_are_closed,
    test_forged_frames_reach_nobody_but_the_job_that_forged_them,
    test_no_descriptor_of_the_runner_is_in_a_child,
    test_nobody_can_be_traced_but_ones_own,
    test_process_1_cannot_be_signalled,
    test_signalling_everybody_ends_with_the_job_that_did_it,
    test_the_child_goes_before_the_runner_when_memory_runs_out,
    test_the_socket_cannot_be_dialled_again,
    test_what_is_of_process_1_cannot_be_opened,
    test_where_no_process_can_be_made_that_is_said,
)
from .test_ending import (
    test_a_cancel_ends_everything_that_was_started,
    test_a_cancel_kills_a_stubborn_kernel,
    test_a_kernel_that_dies_says_so_and_the_next_one_is_new,
    test_kill_all_ends_everything_and_the_runner_goes_on,
    test_nothing_outlives_the_last_job_not_even_a_daemon,
    test_the_box_ends_when_the_host_hangs_up,
)
from .test_link import test_a_port_inside_can_be_dialled, test_a_port_where_nothing_listens_is_refused

pytestmark = pytest.mark.anyio
LIMITS = Limits(memory_mb=256, pids=64)


@pytest.fixture
def preload() -> str:
    return ""


@pytest.fixture
async def box(room: Path, engine: Engine, sandbox_image: str, preload: str) -> AsyncIterator[Desk]:
    control, work = room / "control", room / "work"
    control.mkdir()
    work.mkdir()
    work.chmod(0o777)
    spec = BoxSpec(
        id=secrets.token_hex(6),
        image=sandbox_image,
        command=COMMAND,
        uid=UID,
        limits=LIMITS,
        env={"AGENTRT_PRELOAD": preload},
        mounts=(
            Mount(source=control, target="/run/agentrt"),
            Mount(source=RUNNER, target=COMMAND[2]),
            Mount(source=work, target="/workspace", read_only=False),
        ),
    )
    peers: list[int] = []

    async def owns(pid: int) -> bool:
        peers.append(pid)
        return await engine.owns(spec.id, pid)

    async with Dock(control) as dock:
        try:
            await engine.start(spec)
            link = await dock.link(owns, 20.0)
            async with asyncio.TaskGroup() as group:
                yield Desk(link, "/workspace", work, control, "/run/agentrt/c.sock", peers[0], group)
                link.close()
        finally:
            await engine.remove(spec.id)


@pytest.fixture
def desk(box: Desk) -> Desk:
    return box


async def test_figures_that_are_open_at_the_end_are_saved_and_closed(box: Desk) -> None:
    (box.outside / "figure-2.png").write_bytes(b"mine")
    draw = "import matplotlib.pyplot as plt\nfor n in (1, 2):\n    plt.figure(); plt.plot([n, 2, 3])\nplt.show()"
    ran = await box.kernel(draw)
    assert (ran.outcome.exit_code, ran.stderr) == (0, b"")
    names = {path.name for path in box.outside.iterdir()}
    assert names == {"figure-1.png", "figure-2.png", "figure-3.png"}
    assert (box.outside / "figure-1.png").read_bytes().startswith(b"\x89PNG")
    assert (box.outside / "figure-2.png").read_bytes() == b"mine"
    assert (await box.kernel("plt.get_fignums()")).outcome.value == "[]"
    ran = await box.python("import matplotlib.pyplot as plt; plt.plot([1]); 1 / 0")
    assert (ran.outcome.exit_code, (box.outside / "figure-4.png").exists()) == (1, True)
    assert {path.name for path in box.outside.iterdir()} == names | {"figure-4.png"}


@pytest.mark.parametrize("preload", ["", "matplotlib.pyplot"])
async def test_what_is_drawn_after_a_show_is_another_figure(box: Desk) -> None:
    draw = "import matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()\nplt.plot([2])\nlen(plt.gca().lines)"
    for run, names in ((box.kernel, {"figure-1.png", "figure-2.png"}), (box.python, {"figure-3.png", "figure-4.png"})):
        ran = await run(draw)
        assert (ran.outcome.value, ran.stderr) == ("1", b"")
        assert names <= {path.name for path in box.outside.iterdir()}


async def test_a_figure_that_cannot_be_saved_is_said(box: Desk) -> None:
    ran = await box.kernel("import os\nimport matplotlib.pyplot as plt\nplt.plot([1])\nos.chdir('/opt')")
    assert ran.outcome.exit_code == 1
    assert ran.stderr.startswith(b"OSError: a figure could not be saved: ")
    assert (await box.kernel("plt.get_fignums()")).outcome.value == "[]"


async def test_running_out_of_memory_ends_the_child_and_not_the_box(box: Desk) -> None:
    hog = "kept = []\nwhile True: kept.append(bytearray(10_000_000))"
    ran = await box.kernel(hog)
    assert ran.outcome.exit_code == 1 or (ran.outcome.exit_code == -9 and ran.outcome.state_lost)
    ran = await box.python(hog)
    assert ran.outcome.exit_code in (1, -9)
    await box.link.ping()
    assert (await box.kernel("print('on')")).stdout == b"on\n"


@pytest.mark.parametrize("preload", ["numpy,pandas"])
async def test_what_was_imported_ahead_is_there_at_once_and_draws_other_numbers_each_time(box: Desk) -> None:
    assert box.link.missing == ()
    ran = await box.python("import sys; 'pandas' in sys.modules, 'numpy' in sys.modules")
    assert ran.outcome.value == "(True, True)"
    drawn = {(await box.python("import numpy; numpy.random.rand()")).outcome.value for _ in range(5)}
    assert len(drawn) == 5
    ran = await box.kernel("import numpy as np; bool(np.allclose(np.eye(3) @ np.eye(3), np.eye(3)))")
    assert ran.outcome.value == "True"
