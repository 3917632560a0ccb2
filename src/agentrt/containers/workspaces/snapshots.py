"""Which files there are at one moment, to tell which were made or changed since."""

import stat

import msgspec

from .walking import Walk

MOST_SEEN = 5_000
_TOOLS_OWN = frozenset(("__pycache__", "node_modules"))


class Snapshot(msgspec.Struct, frozen=True):
    """The regular files at one moment, but for what is hidden or made by tools for themselves: path to size, mtime and inode.
    `unread` are the folders in which there was more than was looked at."""

    files: dict[str, tuple[int, int, int]]
    unread: frozenset[str] = frozenset()

    @property
    def complete(self) -> bool:
        return not self.unread

    def since(self, before: "Snapshot") -> list[str]:
        """Paths of files that were created or changed after `before`, sorted; without those that may have been there, unseen."""
        changed = [path for path, mark in self.files.items() if before.files.get(path) != mark]
        return sorted(path for path in changed if path in before.files or before._tells_of(path))

    def _tells_of(self, path: str) -> bool:
        """Whether it would have this file, had it been there."""
        if self.complete:
            return True
        parts = path.split("/")
        return not self.unread.intersection((".", *("/".join(parts[:depth]) for depth in range(1, len(parts)))))


def snapshot(root: int, most: int = MOST_SEEN) -> Snapshot:
    """The files below a folder as they are now; stops after `most` of whatever is there. Cheap for a small workspace."""
    walk = Walk(root, ".", deep=True, most=most, skips=_is_aside)
    files = {path: (found.st_size, found.st_mtime_ns, found.st_ino) for path, found in walk if stat.S_ISREG(found.st_mode)}
    return Snapshot(files, frozenset(walk.unread))


def _is_aside(name: str) -> bool:
    return name.startswith(".") or name in _TOOLS_OWN
