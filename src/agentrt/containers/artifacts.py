"""Files that an execution made or changed, kept beyond the life of the workspace."""

import asyncio
from collections.abc import Sequence
from mimetypes import guess_type

import msgspec
import structlog

from agentrt.files import Blobs
from agentrt.kernel import AgentrtError, Principal
from agentrt.tools import Artifact

from .spec import MIB
from .workspaces import Snapshot, Tree

log = structlog.get_logger()

# of what one execution wrote: files, bytes of each, bytes of all
MOST_FILES, MOST_EACH, MOST_BYTES = 20, 20 * MIB, 64 * MIB
UNKNOWN = "application/octet-stream"
SMALL = 100  # files: so many are looked at faster than a thread is woken
MOST_TOLD = 100


class Made(msgspec.Struct, frozen=True):
    """The artifacts of an execution; `left_out` are the paths of files that were not kept, the first of them, and there are
    `more`. Not `complete`: the workspace holds too many files to tell all that changed."""

    artifacts: tuple[Artifact, ...] = ()
    left_out: tuple[str, ...] = ()
    more: int = 0
    complete: bool = True


async def look(tree: Tree, before: Snapshot | None = None) -> Snapshot:
    """The files as they are now; where there were few a moment ago, at once, unless there are many by now."""
    if before is not None and len(before.files) <= SMALL:
        found = tree.snapshot(SMALL)
        if found.complete:
            return found
    return await asyncio.to_thread(tree.snapshot)


class Keeper:
    """Stores what executions made."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def keep(self, who: Principal, run_id: str, tree: Tree, paths: Sequence[str]) -> Made:
        """Store these files of a workspace for a run. One that cannot be read or stored is left out, and no error."""
        kept: list[Artifact] = []
        left_out: list[str] = []
        room = MOST_BYTES
        for path in paths:
            most = min(room, MOST_EACH)
            artifact = await self._keep(who, run_id, tree, path, most) if len(kept) < MOST_FILES else None
            if artifact is None:
                left_out.append(path)
            else:
                kept.append(artifact)
                room -= artifact.size
        return Made(tuple(kept), tuple(left_out[:MOST_TOLD]), len(left_out[MOST_TOLD:]))

    async def _keep(self, who: Principal, run_id: str, tree: Tree, path: str, most: int) -> Artifact | None:
        try:
            data = await asyncio.to_thread(_whole, tree, path, most)
            kind = guess_type(path)[0] or UNKNOWN
            return Artifact(await self._blobs.put(who, run_id, data, kind, path), path, kind, len(data))
        except (AgentrtError, OSError) as exc:  # too large, swapped or held by what runs inside; or our disk is full
            log.debug("artifact.not_kept", run_id=run_id, reason=str(exc))
            return None


def _whole(tree: Tree, path: str, most: int) -> bytes:
    """All that a file holds; TooLarge before anything is read: a hole of terabytes costs who makes it nothing."""
    with tree.open(path, most) as found:
        return found.file.read(found.size)
