"""What an earlier server of this instance left behind, killed at any moment, and how it is cleared away."""

import asyncio
import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

import structlog

from ..engines import INSTANCE_LABEL, Engine
from ..workspaces import slots, umount_stale
from .slots import RUNNER_FOLDER, remove_folders

log = structlog.get_logger()

_AT_ONCE = 8
_ID = re.compile(r"[a-z0-9]{8,32}")


def instance_id(folder: Path) -> str:
    """The name of the server whose data `folder` holds: made once, the same ever after. OSError."""
    file = folder / "instance"
    with suppress(FileNotFoundError):
        if _ID.fullmatch(known := file.read_text()):
            return known
    folder.mkdir(parents=True, exist_ok=True)
    fresh = secrets.token_hex(6)
    part = folder / f"instance.{fresh}"
    part.write_text(fresh)
    os.replace(part, file)
    return fresh


async def reconcile(engine: Engine, runtime: Path, instance: str, *, can_mount: bool) -> int:
    """Remove every box of this instance, its mounts and its folders; how many boxes there were. Workspaces stay, and so do the
    boxes of other instances. For a start: no box of this process may stand yet. EngineUnavailable, OSError."""
    found = await engine.list({INSTANCE_LABEL: instance})
    turns = asyncio.Semaphore(_AT_ONCE)

    async def remove(box_id: str) -> None:
        async with turns:
            await engine.remove(box_id)

    # their control sockets died with us: nobody can talk to them any more
    await asyncio.gather(*(remove(box.id) for box in found))
    await asyncio.to_thread(_clear_folders, runtime, can_mount)
    if found:
        log.info("boxes.reconciled", removed=len(found))
    return len(found)


def _clear_folders(runtime: Path, can_mount: bool) -> None:
    runtime.mkdir(parents=True, exist_ok=True)
    runtime.chmod(0o700)
    shutil.rmtree(runtime / RUNNER_FOLDER, ignore_errors=True)
    if can_mount:
        umount_stale(runtime)
    for folder in (runtime, runtime / "slots"):
        with suppress(FileNotFoundError):
            for entry in os.listdir(folder):
                if _ID.fullmatch(entry) and entry != "slots":
                    remove_folders(runtime, entry)
    if can_mount:
        slots(runtime)
