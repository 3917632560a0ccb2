"""What ends the boxes of a server that was killed.

Bubblewrap offers to die with its parent, and does; but it has given up its rights by then, the right to end a process of
another user among them. So a shell waits for the server's end, which closes its input, then ends what is in the groups and
unmounts what boxes saw as their root. The next server waits until it has done so: they share a lock.
"""

import fcntl
import os
import subprocess
import time
from pathlib import Path

from ..errors import EngineUnavailable
from .cgroups import Cgroups

_PATIENCE_S = 10.0

# What is frozen dies when it moves again; a group can go when its last process has.
_SCRIPT = """cat
roots=$2 members=$3 freezer=$4 thaw=$5 state=$6
cd "$1" || exit
shift 6
boxes=$(echo *)
for box in $boxes; do
  kill -9 $(cat "$members/$box/cgroup.procs")
  echo "$thaw" > "$freezer/$box/$state"
done
umount -l "$roots"/*
for try in 1 2 3 4 5 6 7 8 9; do
  [ -n "$(for box in $boxes; do cat "$members/$box/cgroup.procs"; done)" ] || break
  sleep 0.1
done
for box in $boxes; do
  for group; do rmdir "$group/$box"; done
done
"""


class Lifeline:
    """A process that outlives us by a moment. Blocking. EngineUnavailable where another server's is there, and stays."""

    def __init__(self, boxes: Path, roots: Path, cgroups: Cgroups) -> None:
        boxes.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(boxes.with_name("boxes.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _wait_for(self._lock)
            places = map(str, (boxes, roots, cgroups.members, *cgroups.thawing, *cgroups.folders))
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "agentrt-lifeline", *places],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PATH": "/usr/bin:/bin"},
                pass_fds=(self._lock,),
                start_new_session=True,  # the interrupt of a terminal is not for it
            )
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """End it before it ends anything."""
        self._shell.kill()
        self._shell.communicate()
        os.close(self._lock)


def _wait_for(lock: int) -> None:
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise EngineUnavailable("Another server starts boxes from this data folder.") from error
        time.sleep(0.01)
