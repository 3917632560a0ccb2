"""Going through folders that somebody else may be changing."""

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator

from agentrt.kernel import Invalid

from .beneath import CHANGE, ENTER, MOST_PATH, nameable, open_beneath, open_folder, regain

DEEPEST = 128
_LONG = 256
_PASSED_OVER = 1 / 64


class Walk:
    """Everything below a folder, as (path, lstat), at most `most` of it, what is less deep first, without ever following a link.
    A path counts once more for every 256 characters: nobody makes much of little with long names. What has a name that `skips`
    is passed over, with all below it, and counts little.

    After it was gone through, `unread` are the folders of which that was not all, and `unnameable` counts what has a name that
    nobody can ask for; such folders are not entered. What disappears meanwhile is passed over.
    """

    def __init__(self, root: int, path: str, *, deep: bool, most: int, skips: Callable[[str], bool] | None = None) -> None:
        self._root, self._path, self._deep, self._skips = root, path, deep, skips
        self._left = float(most)
        self._waiting: deque[str] = deque()
        self.unread: set[str] = set()
        self.unnameable = 0

    @property
    def complete(self) -> bool:
        return not self.unread

    def __iter__(self) -> Iterator[tuple[str, os.stat_result]]:
        yield from self._folder(self._path, open_folder(self._root, self._path))
        while self._waiting and self._left > 0:
            path = self._waiting.popleft()
            try:
                # from the root again: one descriptor at a time, however deep it goes
                fd = open_beneath(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
            except OSError:
                continue
            yield from self._folder(path, fd)
        self.unread.update(self._waiting)

    def _folder(self, path: str, fd: int) -> Iterator[tuple[str, os.stat_result]]:
        prefix = "" if path == "." else path + "/"
        try:
            regain(fd, ENTER)
            with os.scandir(fd) as entries:
                for entry in entries:
                    if self._left <= 0:
                        self.unread.add(path)
                        return
                    at = prefix + entry.name
                    if self._passes_over(entry.name, at):
                        self._left -= _PASSED_OVER
                        continue
                    self._left -= 1 + len(at) // _LONG
                    try:
                        found = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    if self._deep and stat.S_ISDIR(found.st_mode):
                        self._waiting.append(at)
                    yield at, found
        except OSError:
            return
        finally:
            os.close(fd)

    def _passes_over(self, name: str, at: str) -> bool:
        if self._skips is not None and self._skips(name):
            return True
        if nameable(name) and len(at.encode()) <= MOST_PATH:
            return False
        self.unnameable += 1
        return True


def remove_folder(parent: int, name: str, depth: int = 0) -> None:
    """Remove a folder with all that is in it; links are removed, never followed. OSError; Invalid where it is too deep."""
    if depth > DEEPEST:
        raise Invalid(f"the folder is nested more than {DEEPEST} deep; remove it with a command", code="too_deep", param="path")
    fd = open_beneath(parent, name, os.O_RDONLY | os.O_DIRECTORY)
    try:
        regain(fd, CHANGE)
        # as many names at a time as there are: a folder that is being filled must not keep us for ever
        with os.scandir(fd) as entries:
            below = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for entry_name, is_folder in below:
            try:
                if is_folder:
                    remove_folder(fd, entry_name, depth + 1)
                else:
                    os.unlink(entry_name, dir_fd=fd)
            except FileNotFoundError:
                continue
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)
