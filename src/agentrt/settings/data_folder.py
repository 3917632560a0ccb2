from pathlib import Path

from agentrt.kernel import Unavailable


def make_data_folder(folder: Path) -> None:
    """Make the data folder where it is not there yet; Unavailable where it cannot be made or is no folder.

    It holds what people said: a new one is its owner's alone.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        why = "a file of that name is there" if isinstance(exc, FileExistsError) else (exc.strerror or str(exc)).lower()
        raise Unavailable(
            f"the data folder {folder} cannot be made: {why}; name another one with --data-dir", code="data_dir_not_writable"
        ) from exc
