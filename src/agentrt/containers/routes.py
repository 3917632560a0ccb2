"""`/sandboxes`: containers with workspaces, code that runs in them, and their files."""

import asyncio
from collections.abc import Sequence
from typing import Any

from litestar import Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream

from agentrt.files import Blobs
from agentrt.http import EventStream, IdempotencyKey, RawResponse, known_query, problems
from agentrt.kernel import Principal

from .calling import FAILURES, Executed, executed, headers_of
from .downloads import as_attachment, pieces_of, zip_of
from .requests import Front
from .streams import Streams
from .uploads import attach, unpack, upload
from .views import (
    AcquireSandbox,
    AttachFile,
    Collected,
    ExecuteCode,
    ExecutionLog,
    FileList,
    FileView,
    SandboxDetail,
    SandboxList,
    SandboxView,
    Unpacked,
    file_list,
    file_view,
    sandbox_detail,
    sandbox_list,
    sandbox_view,
)

TAGS = ["sandboxes"]
GONE = problems({404: "There is no such sandbox, or it is gone; the message says why."})
NO_FILE = problems({404: "There is no such sandbox or file."})
FULL = problems({404: "There is no such pool.", 429: "All containers are in use; come back after `Retry-After`."})
RUNS = GONE | problems(FAILURES)
BYTES = {200: ResponseSpec(None, description="The bytes.", media_type="application/octet-stream")}


def sandbox_routes(front: Front, streams: Streams) -> Sequence[Any]:
    """The handlers of `/sandboxes`, bound to the service."""
    return (*_lists(front), *_executions(front, streams), *_ends(front))


def file_routes(front: Front) -> Sequence[Any]:
    """The handlers of `/sandboxes/{id}/files`."""
    return (*_looks(front), *_arrivals(front), *_changes(front))


def _lists(front: Front) -> Sequence[Any]:
    sandboxes = front.sandboxes

    @post("/sandboxes", status_code=200, tags=TAGS, summary="Acquire a sandbox", operation_id="acquireSandbox", responses=FULL)
    async def acquire(data: JSONBody[AcquireSandbox], who: NamedDependency[Principal]) -> SandboxView:
        """The one that this user's session has already, or a warm one, bound to it now."""
        return sandbox_view(await front.acquire(who, data))

    @get("/sandboxes", tags=TAGS, summary="List sandboxes", operation_id="listSandboxes", sync_to_thread=False)
    def list_sandboxes(who: NamedDependency[Principal]) -> SandboxList:
        """Those of the user whom `x-user-id` names."""
        return sandbox_list(sandboxes.list(who))

    @post("/sandboxes/gc", status_code=200, tags=TAGS, summary="Remove unused workspaces", operation_id="collectWorkspaces")
    async def collect() -> Collected:
        """Those that nobody has used for as long as the settings keep them."""
        return Collected(await sandboxes.collect())

    @get("/sandboxes/{sandbox_id:str}", tags=TAGS, summary="Show a sandbox", operation_id="showSandbox", responses=GONE)
    async def show(sandbox_id: FromPath[str], who: NamedDependency[Principal]) -> SandboxDetail:
        return await asyncio.to_thread(sandbox_detail, sandboxes.get(who, sandbox_id))

    @get(
        "/sandboxes/{sandbox_id:str}/log",
        tags=TAGS,
        summary="List its newest executions",
        operation_id="sandboxLog",
        responses=GONE,
        sync_to_thread=False,
    )
    def log(sandbox_id: FromPath[str], who: NamedDependency[Principal]) -> ExecutionLog:
        told = list(sandboxes.get(who, sandbox_id).log)
        ends = (told[0].run_id, told[-1].run_id) if told else (None, None)
        return ExecutionLog(data=told, first_id=ends[0], last_id=ends[1])

    return (acquire, list_sandboxes, collect, show, log)


def _executions(front: Front, streams: Streams) -> Sequence[Any]:
    sandboxes = front.sandboxes

    @post(
        "/sandboxes/{sandbox_id:str}/exec",
        status_code=200,
        tags=TAGS,
        summary="Execute code",
        operation_id="executeInSandbox",
        responses=RUNS,
    )
    async def execute(
        sandbox_id: FromPath[str],
        data: JSONBody[ExecuteCode],
        who: NamedDependency[Principal],
        key: IdempotencyKey = "",
    ) -> Response[Executed]:
        """A run of one step; the answer holds its outcome, whatever the exit code."""
        called = await front.execution(sandboxes.get(who, sandbox_id), data, key)(None)
        return Response(executed(called), headers=headers_of(called))

    @post(
        "/sandboxes/{sandbox_id:str}/stream",
        status_code=200,
        tags=TAGS,
        summary="Execute code, and follow its output",
        operation_id="streamInSandbox",
        media_type="text/event-stream",
        responses=RUNS,
    )
    async def stream(
        sandbox_id: FromPath[str],
        data: JSONBody[ExecuteCode],
        who: NamedDependency[Principal],
        key: IdempotencyKey = "",
    ) -> Response[None]:
        """Server-sent events `stdout`, `stderr`, `artifact`, and at last `result` or `error`. Hanging up ends the execution."""
        work = front.execution(sandboxes.get(who, sandbox_id), data, key)
        return RawResponse(EventStream(streams.frames(work)))

    return (execute, stream)


def _ends(front: Front) -> Sequence[Any]:
    sandboxes = front.sandboxes

    @post(
        "/sandboxes/{sandbox_id:str}/release",
        status_code=204,
        tags=TAGS,
        summary="Release a sandbox",
        operation_id="releaseSandbox",
        responses=GONE,
    )
    async def release(sandbox_id: FromPath[str], who: NamedDependency[Principal]) -> None:
        """The container ends with all that runs in it; the files stay for the session's next one."""
        await sandboxes.release(who, sandbox_id)

    @delete(
        "/sandboxes/{sandbox_id:str}",
        status_code=204,
        tags=TAGS,
        summary="Delete a sandbox",
        operation_id="deleteSandbox",
        before_request=known_query,
        responses=GONE,
    )
    async def remove(sandbox_id: FromPath[str], who: NamedDependency[Principal], files: FromQuery[bool] = False) -> None:
        """As release; with `files=true` its workspace is deleted too."""
        await sandboxes.release(who, sandbox_id, with_files=files)

    return (release, remove)


def _looks(front: Front) -> Sequence[Any]:
    sandboxes = front.sandboxes

    @get(
        "/sandboxes/{sandbox_id:str}/files",
        tags=TAGS,
        summary="List files",
        operation_id="listSandboxFiles",
        before_request=known_query,
        responses=NO_FILE,
    )
    async def list_files(
        sandbox_id: FromPath[str],
        who: NamedDependency[Principal],
        path: FromQuery[str] = ".",
        recursive: FromQuery[bool] = False,
        glob: FromQuery[str | None] = None,
    ) -> FileList:
        """What is in a folder of the workspace; with `glob` what fits the pattern, below it."""
        tree = sandboxes.get(who, sandbox_id).tree
        if glob is not None:
            return file_list(await asyncio.to_thread(tree.glob, glob, path))
        return file_list(await asyncio.to_thread(tree.list, path, recursive=recursive))

    @get(
        "/sandboxes/{sandbox_id:str}/files/{path:path}",
        tags=TAGS,
        summary="Download a file",
        operation_id="downloadSandboxFile",
        responses=NO_FILE | BYTES,
        media_type="application/octet-stream",
    )
    async def download(sandbox_id: FromPath[str], path: FromPath[str], who: NamedDependency[Principal]) -> Stream:
        """The bytes, always as an attachment: no browser shows them as a page of this server."""
        pieces = await pieces_of(sandboxes.get(who, sandbox_id).tree, path[1:])
        return Stream(pieces, media_type="application/octet-stream", headers=as_attachment(path.rpartition("/")[2]))

    @get(
        "/sandboxes/{sandbox_id:str}/zip",
        tags=TAGS,
        summary="Download the workspace as a zip",
        operation_id="zipSandbox",
        before_request=known_query,
        responses=NO_FILE | problems({413: "There is too much to pack."}) | BYTES,
        media_type="application/zip",
    )
    async def zipped(sandbox_id: FromPath[str], who: NamedDependency[Principal], path: FromQuery[str] = ".") -> Stream:
        pieces = await zip_of(sandboxes.get(who, sandbox_id).tree, path)
        return Stream(pieces, media_type="application/zip", headers=as_attachment("workspace.zip"))

    return (list_files, download, zipped)


def _arrivals(front: Front) -> Sequence[Any]:
    sandboxes = front.sandboxes

    @post(
        "/sandboxes/{sandbox_id:str}/files",
        status_code=201,
        tags=TAGS,
        summary="Put an uploaded file into the workspace",
        operation_id="attachFile",
        responses=NO_FILE | problems({413: "The workspace is full, or the file too large."}),
    )
    async def attach_file(
        sandbox_id: FromPath[str],
        data: JSONBody[AttachFile],
        blobs: NamedDependency[Blobs],
        who: NamedDependency[Principal],
    ) -> FileView:
        """Under its own name; at `path`, or in the folder that a `path` with a slash at its end names."""
        return file_view(await attach(sandboxes.get(who, sandbox_id), blobs, who, data))

    @post(
        "/sandboxes/{sandbox_id:str}/unpack",
        status_code=201,
        tags=TAGS,
        summary="Unpack an uploaded archive into the workspace",
        operation_id="unpackFile",
        responses=NO_FILE | problems({413: "The workspace is full, or the archive unpacks to too much."}),
    )
    async def unpack_file(
        sandbox_id: FromPath[str],
        data: JSONBody[AttachFile],
        blobs: NamedDependency[Blobs],
        who: NamedDependency[Principal],
    ) -> Unpacked:
        """A zip or a tar (also .gz, .bz2, .xz) of files and folders. One that leads out, links, or is a bomb is refused whole."""
        paths = await unpack(sandboxes.get(who, sandbox_id), blobs, who, data)
        return Unpacked(paths[:1000], len(paths))

    return (attach_file, unpack_file)


def _changes(front: Front) -> Sequence[Any]:
    sandboxes = front.sandboxes

    @put(
        "/sandboxes/{sandbox_id:str}/files/{path:path}",
        status_code=200,
        tags=TAGS,
        summary="Write a file",
        operation_id="writeSandboxFile",
        responses=NO_FILE,
    )
    async def write(
        sandbox_id: FromPath[str], path: FromPath[str], request: Request[Any, Any, Any], who: NamedDependency[Principal]
    ) -> FileView:
        """The body is the file, as `application/octet-stream`; folders are made as needed."""
        held = sandboxes.get(who, sandbox_id)
        return file_view(await upload(held, path[1:], request.stream()))

    @delete(
        "/sandboxes/{sandbox_id:str}/files/{path:path}",
        status_code=204,
        tags=TAGS,
        summary="Delete a file",
        operation_id="deleteSandboxFile",
        before_request=known_query,
        responses=NO_FILE,
    )
    async def remove_file(
        sandbox_id: FromPath[str], path: FromPath[str], who: NamedDependency[Principal], recursive: FromQuery[bool] = False
    ) -> None:
        """A file, or a folder; one that is not empty with `recursive=true` only."""
        held = sandboxes.get(who, sandbox_id)
        await asyncio.to_thread(held.tree.delete, path[1:], recursive=recursive)

    return (write, remove_file)
