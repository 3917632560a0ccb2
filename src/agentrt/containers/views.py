"""What the sandbox API takes and shows."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agentrt.kernel import rfc3339

from .sandboxes import Held, Logged
from .workspaces import Entry, Listing


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True): ...


class AcquireSandbox(Body, frozen=True):
    """The sandbox of `session`, which may be that of a conversation; without one, of a session of its own."""

    pool: str = "code"
    session: Annotated[str, Meta(max_length=200)] | None = None
    workspace: Literal["session", "user"] = "session"


class ExecuteCode(Body, frozen=True):
    """`language` is python or bash. Not `stateful`: in a fresh interpreter, which neither sees nor leaves variables."""

    code: str
    language: str = "python"
    timeout_s: float | None = None
    stateful: bool = True


class AttachFile(Body, frozen=True):
    """An uploaded file to put into the workspace: under its own name, or at `path`, which is a folder where it ends with a slash;
    an archive to unpack: into that folder."""

    file_id: str
    path: str | None = None


class Unpacked(msgspec.Struct, frozen=True):
    """Paths of the files that an archive held, at most 1000 of them; `files` is how many there were."""

    paths: list[str]
    files: int


class DiskView(msgspec.Struct, frozen=True):
    used_bytes: int
    bytes: int
    used_inodes: int
    inodes: int


class SandboxView(msgspec.Struct, frozen=True, kw_only=True):
    """A container in the hands of one user and session. `session` is null for the workspace that all sessions of a user
    share."""

    id: str
    object: Literal["sandbox"] = "sandbox"
    pool: str
    user: str
    session: str | None
    state: str
    image: str
    executions: int
    created_at: str
    used_at: str


class SandboxDetail(SandboxView, frozen=True, kw_only=True):
    """The same, with how full its workspace is."""

    disk: DiskView


class SandboxList(msgspec.Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[SandboxView]
    has_more: bool = False
    first_id: str | None
    last_id: str | None


class FileView(msgspec.Struct, frozen=True, kw_only=True):
    """Something in a workspace; `path` is relative to it."""

    path: str
    type: Literal["file", "folder", "link", "other"]
    size: int
    modified_at: str


class FileList(msgspec.Struct, frozen=True, kw_only=True):
    """`first_id` and `last_id` are paths."""

    object: Literal["list"] = "list"
    data: list[FileView]
    has_more: bool
    first_id: str | None
    last_id: str | None


class ExecutionLog(msgspec.Struct, frozen=True, kw_only=True):
    """The newest executions of a sandbox, oldest first. `first_id` and `last_id` are runs."""

    object: Literal["list"] = "list"
    data: list[Logged]
    has_more: bool = False
    first_id: str | None
    last_id: str | None


class Collected(msgspec.Struct, frozen=True):
    """How many unused workspaces were removed."""

    removed: int


def sandbox_view(held: Held) -> SandboxView:
    return SandboxView(**_fields(held))


def sandbox_list(held: Sequence[Held]) -> SandboxList:
    """All of them: a user has few."""
    ends = (held[0].id, held[-1].id) if held else (None, None)
    return SandboxList(data=[sandbox_view(one) for one in held], first_id=ends[0], last_id=ends[1])


def sandbox_detail(held: Held) -> SandboxDetail:
    """Asks the disk."""
    usage = held.tree.usage()
    disk = DiskView(usage.used_bytes, usage.bytes, usage.used_inodes, usage.inodes)
    return SandboxDetail(**_fields(held), disk=disk)


def _fields(held: Held) -> dict[str, Any]:
    lease, holder = held.lease, held.holder
    return {
        "id": lease.id,
        "pool": holder.pool,
        "user": holder.user,
        "session": holder.session or None,
        "state": lease.state,
        "image": lease.box.image,
        "executions": held.count,
        "created_at": rfc3339(lease.created_us),
        "used_at": rfc3339(lease.used_us),
    }


def file_view(entry: Entry) -> FileView:
    return FileView(path=entry.path, type=entry.kind, size=entry.size, modified_at=rfc3339(entry.modified_at))


def file_list(listing: Listing) -> FileList:
    data = [file_view(entry) for entry in listing.entries]
    ends = (data[0].path, data[-1].path) if data else (None, None)
    return FileList(data=data, has_more=not listing.complete, first_id=ends[0], last_id=ends[1])
