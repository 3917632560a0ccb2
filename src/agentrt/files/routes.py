import re
from mimetypes import guess_extension
from typing import Any, Literal

import msgspec
from litestar import Controller, Response, get
from litestar.datastructures import ETag
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath
from litestar.response import File

from agentrt.http import problems
from agentrt.kernel import Principal

from .blob import Blob
from .blobs import Blobs

NOT_FOUND = problems({404: "There is no such file."})
CONTENT = {200: ResponseSpec(None, description="The bytes, as they were kept.", media_type="application/octet-stream")}
UNKNOWN = "application/octet-stream"
# it came from a caller or a tool: nothing else may get into a header
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)


class FileObject(msgspec.Struct, frozen=True, kw_only=True):
    """A file as OpenAI's API shows one. `created_at` is Unix seconds."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: Literal["user_data"] = "user_data"
    status: Literal["processed"] = "processed"


class FilesController(Controller):
    """Files that runs refer to: what was sent along, what tools returned, output that was too long."""

    path = "/v1/files"
    tags = ("files",)

    @get("/{file_id:str}", summary="Show a file", operation_id="showFile", responses=NOT_FOUND)
    async def show(self, file_id: FromPath[str], blobs: NamedDependency[Blobs], who: NamedDependency[Principal]) -> FileObject:
        blob = await blobs.describe(who, file_id)
        return FileObject(id=blob.id, bytes=blob.size, created_at=blob.created_at // 1_000_000, filename=_filename(blob))

    @get(
        "/{file_id:str}/content",
        summary="Download a file",
        operation_id="downloadFile",
        responses=NOT_FOUND | CONTENT,
        media_type=UNKNOWN,
    )
    async def content(
        self, file_id: FromPath[str], blobs: NamedDependency[Blobs], who: NamedDependency[Principal]
    ) -> Response[Any]:
        """The bytes, always as an attachment: whoever wrote them, no browser shows them as a page of this server."""
        blob, path = await blobs.locate(who, file_id)
        return File(
            path,
            filename=_filename(blob),
            media_type=_media_type(blob),
            etag=ETag(value=blob.sha256),
            headers={"x-content-type-options": "nosniff"},
        )


def _media_type(blob: Blob) -> str:
    return blob.media_type if _MEDIA_TYPE.fullmatch(blob.media_type) else UNKNOWN


def _filename(blob: Blob) -> str:
    """The file's own name, without folders; else one made of its id."""
    own = re.split(r"[/\\]", blob.name)[-1].strip()
    return own or blob.id + (guess_extension(_media_type(blob)) or "")
