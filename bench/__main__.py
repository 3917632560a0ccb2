"""`make bench`: what agentrt costs, beside what one would use in its place, on one machine and over loopback only."""

import argparse
import asyncio
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog
import uvloop

from agentrt.kernel import AgentrtError

from .ground import NoGround, ground
from .load import HERE, LoadFailed, compile_tools
from .process import CORES
from .report import store, table
from .sandboxes import SANDBOXES
from .scenarios import SCENARIOS, Figures
from .subjects import Subjects, installed

ALL = (*SCENARIOS, *SANDBOXES)
ENGINE = os.environ.get("SANDBOX_ENGINE", "auto")


def chosen() -> list[str]:
    parser = argparse.ArgumentParser(prog="make bench", description="What agentrt costs, beside what one would use in its place.")
    parser.add_argument("--only", default="", help=f"some of: {','.join(ALL)}")
    names = [name for name in parser.parse_args().only.split(",") if name]
    if unknown := [name for name in names if name not in ALL]:
        parser.error(f"no such scenario: {', '.join(unknown)} (there are: {', '.join(ALL)})")
    if ENGINE not in ("auto", "docker", "bubblewrap"):
        parser.error(f"SANDBOX_ENGINE is {ENGINE!r}: docker, bubblewrap, or auto for the first that is here")
    return names or list(ALL)


class Parts:
    """The parts of a run. One that fails costs the others nothing, and is told at the end."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    @contextmanager
    def part(self, name: str, where: str = "") -> Iterator[None]:
        print(f"measuring {name}{where}", flush=True)
        try:
            yield
        except LoadFailed as exc:
            print(f"{name} failed: {exc}", flush=True)
            self.failed.append(name)
        except Exception:
            traceback.print_exc()
            self.failed.append(name)


def measure_servers(names: Sequence[str], scratch: Path, parts: Parts) -> Figures:
    compile_tools()
    installed("passthrough")
    if len(CORES) < 2:
        print("only one core: server, load and model share it, so latencies and rates say little", flush=True)
    figures: Figures = {}
    subjects = Subjects(scratch)
    with subjects.upstream():
        for name in names:
            with parts.part(name):
                figures |= SCENARIOS[name](subjects)
    return figures


async def measure_sandboxes(names: Sequence[str], scratch: Path, parts: Parts) -> Figures:
    """Nothing, and a line that says so, where no code can run in containers; what cannot be measured is left out likewise."""
    figures: Figures = {}
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))
    try:
        async with ground(ENGINE, scratch) as place:
            for name in names:
                with parts.part(name, f" on {place.version}"):
                    try:
                        figures |= await SANDBOXES[name](place)
                    except (NoGround, AgentrtError) as exc:
                        print(f"{name} is left out: {exc}", flush=True)
    except NoGround as exc:
        print(f"{', '.join(names)}: left out, as no code can run in containers here: {exc}", flush=True)
    return figures


def measure(names: Sequence[str], parts: Parts) -> Figures:
    figures: Figures = {}
    servers, sandboxes = ([name for name in names if name in known] for known in (SCENARIOS, SANDBOXES))
    with tempfile.TemporaryDirectory(prefix="agentrt-bench-") as scratch:
        if servers:
            figures |= measure_servers(servers, Path(scratch), parts)
        if sandboxes:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                figures |= runner.run(measure_sandboxes(sandboxes, Path(scratch), parts))
    return figures


def main() -> int:
    parts = Parts()
    try:
        figures = measure(chosen(), parts)
    except (LoadFailed, RuntimeError) as exc:
        print(f"agentrt bench: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"\n{table(figures)}\n\nfigures: {store(figures, HERE / 'results').relative_to(HERE.parent)}")
    if parts.failed:
        print(f"agentrt bench: these parts failed: {', '.join(parts.failed)}", file=sys.stderr)
    return bool(parts.failed)


if __name__ == "__main__":
    sys.exit(main())
