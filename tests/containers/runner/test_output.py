"""What code writes, while it writes it."""

import asyncio

import pytest

from agentrt.containers.runner import Job

from .conftest import Desk, eventually

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("mode", ["kernel", "python"])
async def test_lines_come_while_the_code_runs(desk: Desk, mode: str) -> None:
    async with asyncio.TaskGroup() as group:
        job = group.create_task(desk.run(mode, "import os\nprint('now')\nwhile not os.path.exists('go'): os.sched_yield()"))
        await desk.heard.wait()
        assert not job.done()
        (desk.outside / "go").touch()
    assert job.result().stdout == b"now\n"


async def test_binary_output_comes_through_as_it_is(desk: Desk) -> None:
    every = bytes(range(256)) * 100
    assert (await desk.bash("cat", stdin=every)).stdout == every
    ran = await desk.kernel("import sys; n = sys.stdout.buffer.write(bytes(range(256))); sys.stdout.write('ü\\0\\ud800')")
    assert ran.stdout == bytes(range(256))
    assert b"UnicodeEncodeError" in ran.stderr


@pytest.mark.parametrize("mode", ["kernel", "python", "bash"])
@pytest.mark.parametrize("newlines", [True, False])
async def test_endless_output_is_ended_at_its_cap_to_the_byte(desk: Desk, mode: str, newlines: bool) -> None:
    end = "\\n" if newlines else ""
    bash = "yes" if newlines else "cat /dev/zero"
    code = bash if mode == "bash" else f"while True: print('x' * 999, end='{end}')"
    ran = await desk.run(mode, code, output_bytes=1_000_003)
    assert ran.outcome.ended == "output"
    assert len(ran.stdout) + len(ran.stderr) == ran.outcome.output_bytes
    assert len(ran.stdout) == 1_000_003
    assert (await desk.run(mode, "echo on" if mode == "bash" else "print('on')")).stdout == b"on\n"


async def test_the_cap_counts_both_streams(desk: Desk) -> None:
    ran = await desk.bash("while :; do echo out; echo error >&2; done", output_bytes=10_000)
    assert ran.outcome.ended == "output"
    assert len(ran.stdout) + len(ran.stderr) == 10_000
    assert ran.stdout and ran.stderr


async def test_output_of_exactly_the_cap_is_fine(desk: Desk) -> None:
    ran = await desk.bash("head -c 5000 /dev/zero", output_bytes=5000)
    assert (ran.outcome.ended, ran.outcome.exit_code, len(ran.stdout)) == ("", 0, 5000)


async def test_a_kernel_that_hit_the_cap_keeps_its_variables(desk: Desk) -> None:
    await desk.kernel("x = 1")
    ran = await desk.kernel("while True: print('y' * 1000)", output_bytes=100_000)
    assert (ran.outcome.ended, ran.outcome.state_lost) == ("output", False)
    assert (await desk.kernel("print(x)")).stdout == b"1\n"


async def test_nothing_of_one_job_turns_up_in_the_next(desk: Desk) -> None:
    """Neither what was not written when the pipe broke, nor what a thread prints later, nor input that was not read."""
    for code in (
        "import sys; sys.stdout.write('old ' * 1000)",
        "import sys\nwhile True: sys.stdout.write('old' * 3000)",
        "import ctypes; ctypes.CDLL(None).printf(b'old')",
    ):
        ran = await desk.kernel(code, output_bytes=2000, stdin=b"old\n" * 10)
        assert ran.stdout.startswith(b"old")
        ran = await desk.kernel("import sys; print('new'); sys.stdin.read()", stdin=b"")
        assert (ran.stdout, ran.outcome.value) == (b"new\n", "''")


async def test_streams_that_code_replaced_or_closed_are_there_again_in_the_next_job(desk: Desk) -> None:
    for code in (
        "import io, sys; sys.stdout = sys.stderr = io.StringIO(); print('into it')",
        "sys.stdout.close(); sys.stderr.close(); sys.stdin.close()",
        "sys.stdout.detach(); sys.__stderr__.detach()",
        "del sys.stdout, sys.stderr, sys.stdin",
        "import os; os.close(0); os.close(1); os.close(2)",
        "class Rude:\n    def flush(self): raise KeyboardInterrupt\nsys.stdout = Rude()",
        "sys.stdout = None; sys.stderr = 5",
    ):
        await desk.kernel(code)
        ran = await desk.kernel("import sys; print('out'); print('err', file=sys.stderr); input()", stdin=b"in\n")
        assert (ran.stdout, ran.stderr, ran.outcome.value, ran.outcome.state_lost) == (b"out\n", b"err\n", "'in'", False), code


async def test_a_handler_of_logging_made_in_one_cell_writes_in_the_next(desk: Desk) -> None:
    await desk.kernel("import logging; logging.basicConfig(level='INFO')")
    assert (await desk.kernel("logging.info('hello')")).stderr == b"INFO:root:hello\n"


async def test_background_children_that_hold_the_pipe_do_not_hold_up_the_job(desk: Desk) -> None:
    ran = await desk.bash("sleep 1000 & echo started")
    assert (ran.stdout, ran.outcome.exit_code) == (b"started\n", 0)
    await eventually(lambda: "sleep 1000" not in desk.processes())


async def test_output_after_the_exit_is_taken_for_a_second_and_no_longer(desk: Desk) -> None:
    """What has left its family is not found while another job runs, and may still write."""
    running = await desk.begun("bash", "echo on; while [ ! -e go ]; do sleep 0.05; done")
    late = "touch begun; while kill -0 $0 2>/dev/null; do :; done; echo late; sleep 30; echo too late"
    ran = await desk.bash(f"(setsid bash -c '{late}' $$ &); while [ ! -e begun ]; do sleep 0.01; done; echo first")
    assert ran.stdout == b"first\nlate\n"
    (desk.outside / "go").touch()
    assert (await running).outcome.exit_code == 0


async def test_a_taker_that_fails_ends_the_job_and_is_told(desk: Desk) -> None:
    def take(stream: str, data: bytes) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await desk.link.run(Job(mode="bash", code="yes", cwd=desk.folder), take)
    assert (await desk.bash("echo on")).stdout == b"on\n"
    assert "yes" not in desk.processes()


async def test_much_output_flows_and_is_not_gathered(desk: Desk) -> None:
    taken = largest = 0

    def take(stream: str, data: bytes) -> None:
        nonlocal taken, largest
        taken += len(data)
        largest = max(largest, len(data))

    code = "import sys\nfor _ in range(1600): sys.stdout.write('x' * 65536)"
    await desk.link.run(Job(mode="python", code=code, cwd=desk.folder, output_bytes=2**30), take)
    assert (taken, largest <= 262_144) == (1600 * 65536, True)
