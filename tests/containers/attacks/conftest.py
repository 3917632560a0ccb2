import json
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from runpy import run_path

import pytest

from agentrt.bus import Bus
from agentrt.containers import Limits, PoolSpec
from agentrt.containers.engines import Engine, Mount
from agentrt.containers.pool import Lease, Pools
from agentrt.containers.runner import Job, Outcome
from agentrt.containers.workspaces import Holder, Workspaces
from agentrt.kernel import SystemClock

PROGRAM = Path(__file__).parent / "program.py"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def attempts() -> str:
    return run_path(str(PROGRAM))["program"]()


class Person:
    """Somebody with a sandbox."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease

    async def run(self, code: str, mode: str = "python", **rest: object) -> tuple[Outcome, bytes, bytes]:
        """What came of code, and what it wrote."""
        wrote = {"stdout": bytearray(), "stderr": bytearray()}
        async with self.lease.use(shared=True) as link:
            job = Job(mode=mode, code=code, **{"wall_s": 30.0, **rest})
            outcome = await link.run(job, lambda stream, data: wrote[stream].extend(data))
        return outcome, bytes(wrote["stdout"]), bytes(wrote["stderr"])

    async def says(self, code: str, mode: str = "python", **rest: object) -> str:
        """The output of code that must succeed."""
        outcome, stdout, stderr = await self.run(code, mode, **rest)
        assert outcome.exit_code == 0, (outcome, stderr)
        return stdout.decode()

    async def succeeding(self, attempts: str) -> set[str]:
        """Names of the attempts that succeeded."""
        tried: dict[str, bool] = json.loads(await self.says(attempts))
        assert len(tried) >= 100
        return {name for name, succeeded in tried.items() if succeeded}


@pytest.fixture
async def pools(engine: Engine, sandbox_image: str, tmp_path: Path) -> AsyncIterator[Pools]:
    """Pools of small boxes: 128 MiB, 40 processes, 8 MiB and 200 files of workspace."""
    if os.geteuid() != 0:
        pytest.skip("workspaces with a quota need root")
    instance = f"test{secrets.token_hex(4)}"
    runtime = Path("/run/agentrt") / instance
    limits = Limits(memory_mb=128, pids=40, cpus=1.0, disk_mb=8, inodes=200, output_bytes=1_000_000)
    async with Workspaces(tmp_path / "workspaces", runtime, disk_mb=8, inodes=200) as workspaces:
        spec = PoolSpec(image=sandbox_image, min=0, max=4, limits=limits)
        given = ({"code": spec}, engine, workspaces, runtime, instance, SystemClock(), Bus())
        async with Pools(*given, extra_mounts=operators_folders(tmp_path)) as opened:
            yield opened


def operators_folders(home: Path) -> tuple[Mount, ...]:
    """What the settings call `tools_dir` and `wheels_dir`."""
    found = []
    for name in ("tools", "wheels"):
        folder = home / "of-the-operator" / f"secret-{name}"
        folder.mkdir(parents=True)
        (folder / "there").write_text(name)
        found.append(Mount(source=folder, target=f"/{name}"))
    return tuple(found)


@pytest.fixture
async def attacker(pools: Pools) -> Person:
    return Person(await pools["code"].acquire(Holder(user="attacker", session="s")))


@pytest.fixture
async def neighbour(pools: Pools) -> Person:
    return Person(await pools["code"].acquire(Holder(user="neighbour", session="s")))
