"""User namespaces that say under which number the one owner on disk shows in a slot."""

import os
import subprocess

OWNER = 10001
"""Owner and group of everything in a workspace, as it lies on disk."""
_TIMEOUT_S = 10.0


def open_idmap(uid: int) -> int:
    """A descriptor of a user namespace that shows OWNER as `uid`, and nobody else. Takes a few ms. OSError."""
    # A namespace lives in a process first; this one ends with its input. It says so once it is in.
    command = ["unshare", "--user", "--", "sh", "-c", "echo in; exec cat"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={"PATH": os.defpath}
    ) as process:
        assert process.stdin and process.stdout
        try:
            if process.stdout.readline() != b"in\n":
                raise OSError(f"no user namespace can be made: unshare ended with {process.wait(_TIMEOUT_S)}")
            for kind in ("uid", "gid"):
                with open(f"/proc/{process.pid}/{kind}_map", "w") as table:
                    table.write(f"{OWNER} {uid} 1\n")
            return os.open(f"/proc/{process.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            process.stdin.close()
