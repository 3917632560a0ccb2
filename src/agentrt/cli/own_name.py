"""What a person types to call this program once more."""

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path


def own_name(argv0: str, python: str, cwd: Path) -> str:
    """`agentrt` where that finds the program that was started as `argv0`, else its path, or how `python` starts it.

    Paths below `cwd` are relative to it.
    """
    started = Path(argv0)
    if started.name == "__main__.py":
        return _joined([_shown(Path(python), cwd), "-m", started.parent.name])
    if started.suffix == ".pyz":
        return _joined([_shown(Path(python), cwd), _shown(started, cwd)])
    found = shutil.which(started.name)
    if started.parent == Path() or (found is not None and Path(found).resolve() == started.resolve()):
        return started.name
    return _joined([_shown(started, cwd)])


def _shown(path: Path, cwd: Path) -> str:
    path = cwd / path
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)


def _joined(words: Sequence[str]) -> str:
    return shlex.join(words)
