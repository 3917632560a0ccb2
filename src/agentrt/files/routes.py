from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Request, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Operation
from litestar.params import FromPath, FromQuery, QueryParameter

from agentrt.http import RawResponse, problems
from agentrt.kernel import Denied, Invalid, Principal, TooLarge

from .blob import Blob, Order
from .blobs import Blobs
from .download import UNKNOWN, Download, filename
from .form import Sent, boundary_of, read_form

NOT_FOUND = problems({404: "There is no such file."})
CONTENT = {
    200: ResponseSpec(None, description="The bytes, as they were kept.", media_type=UNKNOWN),
    206: ResponseSpec(None, description="The part that `Range` asks for.", media_type=UNKNOWN),
    304: ResponseSpec(None, description="`If-None-Match` names what is there."),
    416: ResponseSpec(None, description="`Range` begins behind the end."),
}
PURPOSES = ("assistants", "batch", "evals", "fine-tune", "user_data", "vision")
SHORTEST_S, LONGEST_S = 3600, 2_592_000
MOST_LISTED = 10_000
# the fields of a form and what stands around them
AROUND = 64 * 1024

_FORM = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "The file, with its name and type."},
        "purpose": {"type": "string", "description": "`user_data`, or another of OpenAI's purposes."},
        "expires_after[anchor]": {"type": "string", "const": "created_at"},
        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
    },
}


@dataclass
class UploadOperation(Operation):
    """`POST /v1/files`, told by hand where Litestar cannot see it."""

    def __post_init__(self) -> None:
        content = {"multipart/form-data": {"schema": _FORM}}
        self.request_body = {"required": True, "content": content}  # type: ignore[assignment]


class FileObject(msgspec.Struct, frozen=True, kw_only=True):
    """A file as OpenAI's API shows one. Times are Unix seconds."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str = "user_data"
    status: Literal["processed"] = "processed"


class FileList(msgspec.Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[FileObject]
    has_more: bool
    first_id: str | None
    last_id: str | None


class FileDeleted(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class FilesController(Controller):
    """Files that people upload, and those that runs refer to: what was sent along, what tools and code made, long output."""

    path = "/v1/files"
    tags = ("files",)

    @post(
        status_code=200,
        operation_class=UploadOperation,
        operation_id="createFile",
        summary="Upload a file",
        request_max_body_size=None,  # the file itself is measured, while it is written
        responses=problems({413: "The file is larger than `max_file_bytes`."}),
    )
    async def create(
        self, request: Request[Any, Any, Any], blobs: NamedDependency[Blobs], who: NamedDependency[Principal]
    ) -> FileObject:
        _refuse_code(who)
        boundary = boundary_of(request.headers.get("content-type", ""))
        length, most = request.headers.get("content-length", ""), blobs.max_upload_bytes
        if length.isdigit() and int(length) > most + AROUND:
            raise TooLarge(f"the file is larger than {most} bytes", code="file_too_large", param="file")
        async with blobs.receiving() as upload:
            sent = await read_form(boundary, request.stream(), upload, most + AROUND)
            purpose, lasts_s = _asked(sent)
            media_type = sent.media_type or UNKNOWN
            blob = await blobs.keep(who, upload, media_type, sent.filename, purpose=purpose, lasts_s=lasts_s)
        return _object(blob)

    @get(operation_id="listFiles", summary="List uploaded files")
    async def list_files(
        self,
        blobs: NamedDependency[Blobs],
        who: NamedDependency[Principal],
        purpose: FromQuery[str] = "",
        after: FromQuery[str] = "",
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_LISTED)] = MOST_LISTED,
        order: FromQuery[Order] = "desc",
    ) -> FileList:
        """What runs refer to is not among them."""
        _refuse_code(who)
        page = await blobs.list(who, purpose=purpose, after=after, limit=limit, order=order)
        data = [_object(blob) for blob in page.blobs]
        ids = [shown.id for shown in data] or [None]
        return FileList(data=data, has_more=page.has_more, first_id=ids[0], last_id=ids[-1])

    @get("/{file_id:str}", operation_id="showFile", summary="Show a file", responses=NOT_FOUND)
    async def show(self, file_id: FromPath[str], blobs: NamedDependency[Blobs], who: NamedDependency[Principal]) -> FileObject:
        _refuse_code(who)
        return _object(await blobs.describe(who, file_id))

    @delete(
        "/{file_id:str}",
        status_code=200,
        operation_id="deleteFile",
        summary="Delete an uploaded file",
        responses=problems({404: "There is no such file.", 409: "The file belongs to a run."}),
    )
    async def remove(self, file_id: FromPath[str], blobs: NamedDependency[Blobs], who: NamedDependency[Principal]) -> FileDeleted:
        _refuse_code(who)
        await blobs.delete(who, file_id)
        return FileDeleted(id=file_id)

    @get("/{file_id:str}/content", operation_id="downloadFile", summary="Download a file", responses=NOT_FOUND | CONTENT)
    async def content(
        self,
        file_id: FromPath[str],
        request: Request[Any, Any, Any],
        blobs: NamedDependency[Blobs],
        who: NamedDependency[Principal],
    ) -> RawResponse:
        """The bytes, always as an attachment. A download that broke off is gone on with by `Range` and `If-Range`."""
        _refuse_code(who)
        blob, source = await blobs.open(who, file_id)
        headers = {name.lower(): value for name, value in request.headers.items()}
        return RawResponse(Download(blob, source, headers, bodiless=bool(request.scope["state"].get("bodiless"))))


def _refuse_code(who: Principal) -> None:
    if who.run:
        raise Denied("files are not served to code in a container; what it was given is in its workspace")


def _asked(sent: Sent) -> tuple[str, int | None]:
    """The purpose, and for how many seconds the file is wanted. Invalid."""
    fields = dict(sent.fields)
    purpose = fields.pop("purpose", "")
    if purpose not in PURPOSES:
        raise Invalid(f"`purpose` must be one of {', '.join(PURPOSES)}", code="invalid_purpose", param="purpose")
    anchor, seconds = fields.pop("expires_after[anchor]", None), fields.pop("expires_after[seconds]", None)
    if fields:
        name = min(fields)[:64]
        raise Invalid(f"there is no field {name!r}", code="invalid_form", param=name)
    if anchor is None and seconds is None:
        return purpose, None
    if anchor != "created_at" or not (seconds or "").isdecimal() or not SHORTEST_S <= int(seconds or 0) <= LONGEST_S:
        span = f"`expires_after` counts {SHORTEST_S} to {LONGEST_S} seconds from the anchor created_at"
        raise Invalid(span, code="invalid_expires_after", param="expires_after")
    return purpose, int(seconds or 0)


def _object(blob: Blob) -> FileObject:
    return FileObject(
        id=blob.id,
        bytes=blob.size,
        created_at=blob.created_at // 1_000_000,
        expires_at=None if blob.expires_at is None else blob.expires_at // 1_000_000,
        filename=filename(blob),
        purpose=blob.purpose,
    )
