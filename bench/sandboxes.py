"""What a sandbox costs: its latencies, how fast new boxes come, their memory, and what attempts to get out achieve."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from runpy import run_path
from statistics import median

from agentrt.containers import Limits
from agentrt.containers.runner import Job, Mode
from agentrt.containers.sandboxes import Held

from .beside import PRINT, Measure, peers, plain, repeated, start_rate
from .footprint import footprint
from .ground import Desk, Ground, NoGround, engines_here
from .kills import kills
from .load import HERE
from .scenarios import Figures

ROUNDS = 5
BOXES = 16
IDLE = 12
BULK_MB = 200
# a file with `program()`: the text of one that prints a JSON object, the name of an attempt → whether it succeeded
ATTACKS = HERE.parent / os.environ.get("SANDBOX_ATTACKS", "tests/containers/attacks/program.py")


async def sandbox(ground: Ground) -> Figures:
    """Latencies, each in turns with what stands beside it."""
    figures: Figures = {}
    async with ground.desk(min=BOXES, max=BOXES) as desk:
        await desk.warm(BOXES)
        held = await desk.hold()
        # as people come, one after a while: the blank workspace for the next is made meanwhile
        acquire = repeated(desk.hold, BOXES - 2, partial(stir, held, 0.1))
        figures["sandbox_acquire_ms.agentrt"] = await acquire()
        async with plain(ground) as others:
            everything = {**own(desk, held), **others}
            taken: dict[str, list[float]] = {name: [] for name in everything}
            for _ in range(ROUNDS):
                for name, measure in everything.items():
                    taken[name].append(await measure())
        figures |= {name: median(values) for name, values in taken.items()}
        figures["sandbox_chunk_ms.agentrt"] = median([await chunk_ms(held) for _ in range(3)])
        figures["sandbox_bulk_mb.agentrt"] = median([await bulk_mb(held) for _ in range(3)])
    # a fork costs the same whether somebody waits for it or not
    figures |= {"sandbox_ahead_ms.fork": figures["sandbox_once_ms.fork"]}
    return figures | await peers(ground)


async def stir(held: Held, seconds: float) -> None:
    """Pass the time with executions, as a busy server does: a core that fell asleep takes long to wake in a virtual machine."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        await run(held, "kernel")


async def run(held: Held, mode: Mode) -> None:
    """The same as the service does, without the service around it."""
    async with held.lease.use(shared=mode != "kernel") as link:
        await link.run(Job(mode=mode, code=PRINT), lambda stream, data: None)


def own(desk: Desk, held: Held) -> dict[str, Measure]:
    """What is measured of a sandbox again and again; through the service, as tool calls go, but for `sandbox_link_ms`."""
    data = os.urandom(1024)

    async def file() -> None:
        await asyncio.to_thread(held.tree.write, "kib", data)
        if await asyncio.to_thread(held.tree.read, "kib") != data:
            raise NoGround("a file came back changed")

    def once() -> Awaitable[object]:
        return desk.execute(held, PRINT, "python")

    return {
        "sandbox_exec_ms.agentrt": repeated(lambda: desk.execute(held, PRINT), 60),
        "sandbox_link_ms.agentrt": repeated(lambda: run(held, "kernel"), 60),
        "sandbox_once_ms.agentrt": repeated(once, 25),
        "sandbox_ahead_ms.agentrt": repeated(once, 25, partial(stir, held, 0.005)),
        "sandbox_file_ms.agentrt": repeated(file, 60),
    }


async def chunk_ms(held: Held) -> float:
    """From the moment that code flushes a line to the moment that the host is given it."""
    late: list[float] = []

    def take(stream: str, data: bytes) -> None:
        now = time.monotonic()
        late.extend(now - float(line) for line in data.split())

    code = "import time\nfor _ in range(200): print(time.monotonic(), flush=True); time.sleep(.004)"
    async with held.lease.use() as link:
        await link.run(Job(mode="python", code=code), take)
    return median(late) * 1e3


async def bulk_mb(held: Held) -> float:
    """Megabytes a second of output, taken and dropped."""
    code = f"import sys\nfor _ in range({BULK_MB}): sys.stdout.write('x' * 1_000_000)"
    async with held.lease.use() as link:
        began = time.perf_counter()
        outcome = await link.run(Job(mode="python", code=code, output_bytes=BULK_MB * 2_000_000), lambda stream, data: None)
    if outcome.output_bytes != BULK_MB * 1_000_000:
        raise NoGround(f"of {BULK_MB} MB of output {outcome.output_bytes} bytes came")
    return BULK_MB / (time.perf_counter() - began)


async def refill(ground: Ground) -> Figures:
    """Boxes that get warm in a second, from nothing; in turns with containers that the engine just starts."""
    ours, engines = [], []
    for _ in range(3):
        async with ground.desk(min=BOXES, max=BOXES) as desk:
            began = time.perf_counter()
            await desk.warm(BOXES)
            ours.append(BOXES / (time.perf_counter() - began))
        engines.append(await start_rate(ground, BOXES))
    known = [rate for rate in engines if rate is not None]
    return {"sandbox_refill.agentrt": median(ours), **({"sandbox_refill.engine": median(known)} if known else {})}


async def memory(ground: Ground) -> Figures:
    """MiB of an idle box: what the machine has less for it, beside what its control group counts."""
    figures: Figures = {}
    for name, preload in (("sandbox_memory_mib", ()), ("sandbox_loaded_mib", ("numpy", "pandas"))):
        async with ground.desk(min=IDLE, max=IDLE, preload=preload) as desk:
            await desk.warm(IDLE)
            boxes = await footprint(desk.engine, desk.instance, IDLE)
        figures |= {f"{name}.agentrt": boxes.machine / IDLE, f"{name}.cgroup": boxes.cgroup / IDLE}
    return figures


async def attacks(ground: Ground) -> Figures:
    """What succeeds of what code tries in order to get out, in a box of every engine that is here."""
    tried, succeeded = [], []
    async for place in engines_here(ground):
        async with place.desk(min=1, max=1, limits=Limits(memory_mb=128, pids=40, disk_mb=8, inodes=200)) as desk:
            done = await desk.execute(await desk.hold(), run_path(str(ATTACKS))["program"](), "python", wall_s=120.0)
        if done.outcome.exit_code:
            raise NoGround(f"the attempts did not come to their end: {done.stderr[-500:]}")
        told: dict[str, bool] = json.loads(done.stdout)
        won = sorted(name for name, success in told.items() if success)
        print(f"attacks on {place.version}: {len(won)} of {len(told)} succeed {' '.join(won)}", flush=True)
        tried.append(len(told))
        succeeded.append(len(won))
    return {"sandbox_attacks.agentrt": sum(succeeded), "sandbox_attacks_tried.agentrt": min(tried)}


SANDBOXES: dict[str, Callable[[Ground], Awaitable[Figures]]] = {
    "sandbox": sandbox,
    "sandbox-refill": refill,
    "sandbox-memory": memory,
    "sandbox-kills": kills,
    "sandbox-attacks": attacks,
}
