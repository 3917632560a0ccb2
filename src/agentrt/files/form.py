"""An upload's form, read as it comes: the file goes to disk piece by piece, its fields are small."""

import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from agentrt.kernel import Invalid, TooLarge

from .upload import Upload

_BOUNDARY = re.compile(r'boundary=(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_MOST_FIELD, _MOST_FIELDS = 4096, 16


class Sent(msgspec.Struct, frozen=True):
    """What came along with the file; `fields` are the others by name."""

    filename: str
    media_type: str
    fields: dict[str, str]


def boundary_of(content_type: str) -> str:
    """Invalid where a request is no form."""
    found = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or found is None:
        raise Invalid("a file is sent as multipart/form-data, in the field `file`", code="invalid_form")
    return found[1] or found[2]


async def read_form(boundary: str, chunks: AsyncIterator[bytes], upload: Upload, most_bytes: int) -> Sent:
    """Write the field `file` to `upload`. Invalid for a form that is none, or has no such field, or two; TooLarge for one of
    more than `most_bytes` with all that stands around the file; what `upload` raises."""
    from multipart import MultipartError, PushMultipartParser  # pyright: ignore[reportAttributeAccessIssue]

    reader, size = _Reader(upload), 0
    try:
        with PushMultipartParser(boundary, max_segment_count=_MOST_FIELDS) as parser:
            async for chunk in chunks:
                size += len(chunk)
                if size > most_bytes:
                    raise TooLarge(f"the form is larger than {most_bytes} bytes", code="file_too_large", param="file")
                if not chunk:
                    continue
                for event in parser.parse(chunk):
                    await reader.take(event)
    except MultipartError as exc:
        raise Invalid("the form is damaged or ends too early", code="invalid_form") from exc
    await upload.flush()
    return reader.sent()


class _Reader:
    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._fields: dict[str, bytearray] = {}
        self._file: Any = None
        self._now: Any = None

    async def take(self, event: Any) -> None:
        """A segment of the form begins, has these bytes, or ends (None)."""
        if not isinstance(event, bytes | bytearray):
            self._now = event
            if event is not None:
                self._begin(event)
        elif self._now is self._file:
            await self._upload.write(bytes(event))
        else:
            name = self._now.name
            self._fields[name] += event
            if len(self._fields[name]) > _MOST_FIELD:
                raise Invalid(f"the field {name[:64]!r} is too long", code="invalid_form", param=name[:64])

    def _begin(self, segment: Any) -> None:
        if segment.name in self._fields or (segment.name == "file" and self._file is not None):
            raise Invalid(f"the field {segment.name[:64]!r} is there twice", code="invalid_form", param=segment.name[:64])
        if segment.name == "file":
            self._file = segment
        else:
            self._fields[segment.name] = bytearray()

    def sent(self) -> Sent:
        if self._file is None:
            raise Invalid("the form has no field `file`", code="invalid_form", param="file")
        fields = {name: value.decode(errors="replace") for name, value in self._fields.items()}
        return Sent(self._file.filename or "", self._file.content_type or "", fields)
