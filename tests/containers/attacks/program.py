"""What code in a box tries in order to get out, look around or do harm, as one program.

It prints one JSON object: the name of each attempt → true where it succeeded, false where it was stopped. Each attempt runs in a
process of its own, so that one which is killed for it spoils no other, and stops where it would do harm: it also runs where
nothing stops it.
"""

from pathlib import Path

FOLDER = Path(__file__).parent / "inside"
START = """
import signal, sys, types
for name in NAMES:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(SOURCES[name], name, "exec"), module.__dict__)
signal.signal(signal.SIGINT, signal.SIG_IGN)  # in a weak container this is process 1, and goes on to the last attempt
import json
attempts = sys.modules["attempts"]
print(json.dumps({name: attempts.carry_out(function) for name, function in attempts.TRIES.items()}))
"""


def program() -> str:
    """The attempts of all files in `inside/`, to be run by a Python that has nothing but its standard library."""
    sources = {file.stem: file.read_text() for file in FOLDER.glob("*.py")}
    names = sorted(sources, key=lambda name: (name != "attempts", name == "processes", name))
    return f"SOURCES = {sources!r}\nNAMES = {names!r}\n{START}"
