"""What jobs leave behind, and how it is made away with."""

import os
import time

from .processes import descendants, everything, open_if_there, wipe

# process numbers come round again after 32768 of them at the earliest, which nobody makes in this time
QUICK_S = 0.05


class Traces:
    """Knows the number of the newest process at a time when nothing of any job was there. As long as that has not moved,
    nothing was started, and there is nothing to look for."""

    def __init__(self):
        self._load = open_if_there("/proc/loadavg", os.O_RDONLY)
        self._mark = None
        self._began = 0.0

    def begin(self):
        """The first job starts."""
        self._began = time.monotonic()

    def forking(self, fork):
        """Fork a child of ours while no job runs."""
        clean = self._newest() == self._mark
        fork()
        if clean:
            self._mark = self._newest()

    def wipe_all(self, spared, resting):
        """No job runs any more: nothing but `spared` does, and of that what is `resting` is stopped."""
        newest = self._newest()
        if newest is None or newest != self._mark or time.monotonic() - self._began > QUICK_S:
            wipe(everything, spared, resting)
            self._mark = newest

    def wipe_tree(self, pid, spared, resting):
        """Other jobs run still: what can be told to be of this one ends."""
        found = {pid}

        def find():
            found.update(descendants(pid))
            return found

        wipe(find, spared, resting)

    def _newest(self):
        return None if self._load is None else os.pread(self._load, 128, 0).split()[-1]
