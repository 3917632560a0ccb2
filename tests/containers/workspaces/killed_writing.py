"""A server in the midst of writing a file and of unpacking an archive: it says `ready`, and waits to be killed."""

import asyncio
import io
import sys
import threading
import zipfile
from pathlib import Path

from agentrt.containers.workspaces import Holder, Workspaces, safe_extract


class Halting(io.BytesIO):
    """Stops for good when so many bytes were read."""

    left = 100_000

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.left -= len(data)
        if self.left < 0:
            print("ready", flush=True)
            threading.Event().wait()
        return data


async def main(home: Path) -> None:
    packed = Halting()
    with zipfile.ZipFile(packed, "w") as archive:
        for n in range(20):
            archive.writestr(f"{n:02}.txt", str(n % 10) * 10_000)
    async with Workspaces(home / "ws", home / "run", disk_mb=16, inodes=500) as workspaces:
        workspace = await workspaces.open(Holder(user="anna"))
        workspace.tree.write("in/kept.txt", b"kept")
        with workspace.tree.writing("in/half.txt") as half:
            half.write(b"half")
            safe_extract(packed, workspace.tree, "in")


asyncio.run(main(Path(sys.argv[1])))
