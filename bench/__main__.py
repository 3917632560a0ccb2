import argparse
import sys
import tempfile
from pathlib import Path

from .load import HERE, LoadFailed, compile_tools
from .process import CORES
from .report import store, table
from .scenarios import SCENARIOS, Figures
from .subjects import Subjects, install_passthrough


def chosen() -> list[str]:
    parser = argparse.ArgumentParser(prog="make bench", description="What agentrt costs, beside a pass-through written by hand.")
    parser.add_argument("--only", default="", help=f"some of: {','.join(SCENARIOS)}")
    names = [name for name in parser.parse_args().only.split(",") if name]
    if unknown := [name for name in names if name not in SCENARIOS]:
        parser.error(f"no such scenario: {', '.join(unknown)} (there are: {', '.join(SCENARIOS)})")
    return names or list(SCENARIOS)


def measure(names: list[str]) -> Figures:
    compile_tools()
    install_passthrough()
    if len(CORES) < 2:
        print("only one core: server, load and model share it, so latencies and rates say little", flush=True)
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="agentrt-bench-") as scratch:
        subjects = Subjects(Path(scratch))
        with subjects.upstream():
            for name in names:
                print(f"measuring {name}", flush=True)
                figures |= SCENARIOS[name](subjects)
    return figures


def main() -> int:
    try:
        figures = measure(chosen())
    except (LoadFailed, RuntimeError) as exc:
        print(f"agentrt bench: {exc}", file=sys.stderr)
        return 1
    print(f"\n{table(figures)}\n\nfigures: {store(figures, HERE / 'results').relative_to(HERE.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
