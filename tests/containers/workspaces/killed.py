"""A server that opens a workspace, shows it in a slot, writes to it, says `ready`, and waits to be killed: `killed.py FOLDER`."""

import asyncio
import sys
from pathlib import Path

from agentrt.containers.workspaces import Holder, Workspaces


async def main(home: Path) -> None:
    async with Workspaces(home / "ws", home / "run", disk_mb=16, inodes=500) as workspaces:
        workspace = await workspaces.open(Holder(user="anna"))
        slot = home / "run/slots/box/workspace"
        slot.mkdir(parents=True)
        await workspace.attach(slot, 200_000)
        workspace.tree.write("kept.txt", b"kept")
        workspace.note.remember_state()
        print("ready", flush=True)
        await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1])))
