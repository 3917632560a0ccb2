"""Where workspaces are shown to boxes: a tree of folders whose later mounts reach the boxes that hold a part of it."""

from pathlib import Path

from ..mounts import share_tree, unmount_below


def slots(runtime: Path) -> Path:
    """The tree of slots below `runtime`, ready; fine to repeat. OSError where this process may not mount."""
    folder = runtime / "slots"
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    share_tree(folder.resolve())
    return folder


def umount_stale(runtime: Path) -> int:
    """Take away what an earlier server of this instance, killed at any moment, left mounted in its slots; how much it was.

    For the start, before `slots`, and for the end. Nothing outside `runtime` is touched.
    """
    return unmount_below((runtime / "slots").resolve(), itself=True)
