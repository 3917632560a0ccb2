"""What ends the boxes of a server that was killed.

Bubblewrap offers to die with its parent, and does; but it has given up its rights by then, the right to end a process of
another user among them. So a shell waits for the server's end, which closes its input, and ends what is in the groups.
"""

import subprocess
from pathlib import Path

from .cgroups import Cgroups

# What is frozen dies when it moves again.
_SCRIPT = """cat
cd "$1" || exit
for box in *; do
  kill -9 $(cat "$2/$box/cgroup.procs")
  echo "$4" > "$3/$box/$5"
done
"""


class Lifeline:
    """A process that outlives us by a moment. Blocking."""

    def __init__(self, boxes: Path, cgroups: Cgroups) -> None:
        command = ["/bin/sh", "-c", _SCRIPT, "agentrt-lifeline", str(boxes), str(cgroups.members), *map(str, cgroups.thawing)]
        self._shell = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin"},
            start_new_session=True,  # the interrupt of a terminal is not for it
        )

    def close(self) -> None:
        """Whoever closes it ends the boxes too."""
        self._shell.kill()
        self._shell.communicate()
