"""A server with a pool in which users come and go, until it is killed: `crashing.py ENGINE WHERE HOME IMAGE [INSTANCE]`.

`rounds` starts it again and again, each time killed at a random moment.
"""

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

from agentrt.bus import Bus
from agentrt.containers import PoolSpec
from agentrt.containers.engines import BubblewrapEngine, DockerEngine
from agentrt.containers.pool import Pools
from agentrt.containers.runner import Job
from agentrt.containers.workspaces import Holder, Workspaces
from agentrt.kernel import AgentrtError, SystemClock

INSTANCE = "crashing"
_LONGEST_S = 1.2


def engine_of(name: str, where: str) -> DockerEngine | BubblewrapEngine:
    return DockerEngine(where) if name == "docker" else BubblewrapEngine(Path(where))


async def user(pools: Pools, number: int) -> None:
    """Comes back for ever, to write a file that must never be lost again."""
    while True:
        try:
            lease = await pools["code"].acquire(Holder(user=f"user{number}"))
            async with lease.use() as link:
                job = Job(mode="bash", code="touch kept; sleep 0.0$((RANDOM % 9))")
                if (await link.run(job, lambda stream, data: None)).exit_code == 0:
                    print("wrote", number, flush=True)
            if random.random() < 0.7:
                await pools["code"].release(lease.id)
        except AgentrtError:
            await asyncio.sleep(0.01)


async def serve(name: str, where: str, home: Path, image: str, instance: str = INSTANCE) -> None:
    runtime = home / "run" / instance
    spec = PoolSpec(image=image, min=1, max=4, refill_per_s=100, pause_after_s=0.05)
    async with engine_of(name, where) as engine, Workspaces(home / "ws", runtime, disk_mb=8, inodes=100) as workspaces:
        pools = Pools({"code": spec}, engine, workspaces, runtime, instance, SystemClock(), Bus(), look_s=0.2)
        async with pools, asyncio.TaskGroup() as group:
            print("open", flush=True)
            for number in range(5):
                group.create_task(user(pools, number))


def rounds(kills: int, name: str, where: str, home: Path, image: str) -> tuple[set[str], set[int]]:
    """Start and kill it that often; the ids of the boxes that were seen, and the users who wrote their file. The last one is let
    live until it has done something, where a slow machine gave none the time."""
    seen: set[str] = set()
    wrote: set[int] = set()
    for left in reversed(range(kills)):
        command = [sys.executable, __file__, name, where, str(home), image]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
            assert server.stdout is not None
            server.stdout.readline()
            if left or wrote:
                time.sleep(random.random() * _LONGEST_S)
            else:
                line = next(line for line in server.stdout if line.startswith(b"wrote "))  # what is logged stands there, too
                wrote.add(int(line.split()[1]))
            server.kill()
            # its last line may be a part of one
            wrote |= {int(line.split()[1]) for line in server.stdout if line.startswith(b"wrote ") and line.endswith(b"\n")}
        seen |= {entry.name for entry in (home / "run" / INSTANCE).iterdir()} - {"slots"}
    return seen, wrote


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *sys.argv[4:]))
