"""The pipes of a job, and who writes into them for ever."""

import asyncio
import fcntl
import os

import pytest

from agentrt.containers.runner.pipes import PIPE_BYTES, Pipes

pytestmark = pytest.mark.anyio


async def test_draining_takes_what_is_there_and_not_what_comes_meanwhile() -> None:
    writing, taken = True, bytearray()
    pipes = Pipes(lambda stream, data: taken.extend(data), 1 << 50, lambda: None, lambda: None)
    stdout, stderr = pipes.give_writers()

    def write() -> None:
        while writing:
            try:
                os.write(stdout, b"x" * 65_536)
            except OSError:
                return

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(write))
        await asyncio.sleep(0)
        pipes.drain()
        assert len(taken) <= 2 * PIPE_BYTES
        writing = False
        pipes.close()
    os.close(stdout), os.close(stderr)


async def test_a_pipe_full_of_short_writes_is_drained_whole() -> None:
    taken = bytearray()
    pipes = Pipes(lambda stream, data: taken.extend(data), 1 << 20, lambda: None, lambda: None)
    stdout, stderr = pipes.give_writers()
    fcntl.fcntl(stdout, fcntl.F_SETFL, os.O_NONBLOCK | os.O_DIRECT)  # each write is read by itself
    size = fcntl.fcntl(stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    for _ in range(size // 4096):
        os.write(stdout, b"y")
    pipes.drain()
    assert len(taken) == size // 4096
    pipes.close()
    os.close(stdout), os.close(stderr)
