"""Paths that people write."""

from pathlib import Path

from .errors import SettingsInvalid


def expanded(path: Path) -> Path:
    """`path` with its `~` filled in; ValueError where nobody knows whose home that is."""
    try:
        return path.expanduser()
    except RuntimeError as exc:
        raise ValueError(f"{path}: the home {path.parts[0]} is not known") from exc


def exists(path: Path) -> bool:
    """Whether something is at `path`; SettingsInvalid where this user may not look."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as exc:
        raise SettingsInvalid(f"{path} cannot be read: {(exc.strerror or str(exc)).lower()}") from exc
    return True
