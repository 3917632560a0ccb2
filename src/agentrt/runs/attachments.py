"""Bytes on their way in and out: data URLs and images by address become stored files, and stored files data URLs."""

import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from agentrt.files import Blobs, ImageFetcher
from agentrt.kernel import Invalid, NotFound, Principal
from agentrt.messages import File, Image, Message, Part, Text, ToolResult, has_attachments

AnyPart = TypeVar("AnyPart", bound=Part)

# All images of one request: bytes, and seconds in terms of what one of them may take.
MOST_FETCHED_BYTES = 64 * 1024 * 1024
MOST_FETCHING = 3


async def keep_attachments(blobs: Blobs, who: Principal, run_id: str, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages with every data URL stored and referred to, so that events stay small. Invalid for a bad one, or for a file
    that is not there."""
    if not (has_attachments(messages) and any(_has_data(part) or isinstance(part, File) for m in messages for part in m.parts)):
        return messages
    out = []
    for message in messages:
        parts = [await _keep(blobs, who, run_id, part) for part in message.parts]
        out.append(replace(message, parts=tuple(parts)))
    return tuple(out)


async def keep_images(
    blobs: Blobs, fetcher: ImageFetcher, who: Principal, run_id: str, messages: tuple[Message, ...], sent: int
) -> tuple[Message, ...]:
    """The messages with every image that has an address fetched and stored, beside its address: no later turn fetches it.

    The first of them stood at `sent` in what the caller sent. Invalid names an image that cannot be fetched.
    """
    if not has_attachments(messages):
        return messages
    left = MOST_FETCHED_BYTES
    until = time.monotonic() + MOST_FETCHING * fetcher.timeout_s

    async def kept(part: AnyPart, place: str) -> AnyPart:
        nonlocal left
        if not (isinstance(part, Image) and part.away) or part.file:
            return part
        found = await fetcher.fetch(part.url, f"{place}.image_url.url")
        left -= len(found.data)
        if left < 0 or time.monotonic() > until:
            why = "larger" if left < 0 else "slower to fetch"
            raise Invalid(f"The images by address are together {why} than is taken.", param=place, code="image_too_large")
        file_id = await blobs.put(who, run_id, found.data, found.media_type)
        return replace(part, file=file_id, media_type=found.media_type)

    out: list[Message] = []
    for index, message in enumerate(messages, sent):
        parts: list[Part] = []
        for at, part in enumerate(message.parts):
            if isinstance(part, ToolResult):
                inner = [await kept(p, f"messages[{index}].content[{n}]") for n, p in enumerate(part.parts)]
                parts.append(replace(part, parts=tuple(inner)))
            else:
                parts.append(await kept(part, f"messages[{index}].content[{at}]"))
        out.append(replace(message, parts=tuple(parts)))
    return tuple(out)


async def _images_by_address(blobs: Blobs, who: Principal, messages: Sequence[Message]) -> dict[str, str]:
    """The stored images that have an address, as data URLs by that address."""
    pieces = (p for m in messages for part in m.parts for p in (part.parts if isinstance(part, ToolResult) else (part,)))
    kept = {p.url: p for p in pieces if isinstance(p, Image) and p.file and p.url}
    out: dict[str, str] = {}
    for url, image in kept.items():
        with suppress(NotFound):  # it is fetched again then
            blob, data = await blobs.get(who, image.file)
            out[url] = _data_url(image.media_type or blob.media_type, data)
    return out


class Inlined(msgspec.Struct, frozen=True):
    """Messages with the bytes of stored files in them; `images` are data URLs of those that keep their address, by it."""

    messages: tuple[Message, ...]
    images: Mapping[str, str] = {}


async def inline_files(blobs: Blobs, who: Principal, messages: Sequence[Message]) -> Inlined:
    """The messages with every stored file put in as a data URL, unless it has an address. One whose bytes are gone becomes a
    note."""
    if not has_attachments(messages):
        return Inlined(tuple(messages))
    images = await _images_by_address(blobs, who, messages)
    if not any(_has_file(part) for m in messages for part in m.parts):
        return Inlined(tuple(messages), images)
    out = []
    for message in messages:
        out.append(replace(message, parts=tuple([await _inline(blobs, who, part) for part in message.parts])))
    return Inlined(tuple(out), images)


def _has_data(part: Part) -> bool:
    if isinstance(part, ToolResult):
        return any(_has_data(inner) for inner in part.parts)
    return (isinstance(part, Image) and part.url[:5].lower() == "data:") or (isinstance(part, File) and bool(part.data))


def _has_file(part: Part) -> bool:
    if isinstance(part, ToolResult):
        return any(_has_file(inner) for inner in part.parts)
    return isinstance(part, Image | File) and bool(part.file) and not (isinstance(part, Image) and part.away)


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


async def _keep(blobs: Blobs, who: Principal, run_id: str, part: Part) -> Part:
    if isinstance(part, File) and part.file and not part.media_type:
        return await _described(blobs, who, part)
    if not _has_data(part):
        return part
    if isinstance(part, ToolResult):
        inner = [await _keep(blobs, who, run_id, p) for p in part.parts]
        return replace(part, parts=tuple(p for p in inner if isinstance(p, Text | Image | File)))
    assert isinstance(part, Image | File)
    url = part.url if isinstance(part, Image) else part.data
    head, _, body = url.partition(",")
    media_type = head[5:].split(";")[0] or part.media_type or "application/octet-stream"
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("a data URL is not valid base64", param="messages", code="bad_data_url") from None
    file_id = await blobs.put(who, run_id, data, media_type, getattr(part, "name", ""))
    if isinstance(part, Image):
        return replace(part, url="", file=file_id, media_type=media_type)
    return replace(part, data="", file=file_id, media_type=media_type)


async def _described(blobs: Blobs, who: Principal, part: File) -> File:
    """A stored file with its type and name, by which it is known who can read it. Invalid where it is not there."""
    try:
        blob = await blobs.describe(who, part.file)
    except NotFound as exc:
        raise Invalid(exc.message, param="messages", code="file_not_found") from None
    return replace(part, media_type=blob.media_type, name=part.name or blob.name)


async def _inline(blobs: Blobs, who: Principal, part: Part) -> Part:
    if isinstance(part, ToolResult):
        if not _has_file(part):
            return part
        inner = [await _inline(blobs, who, p) for p in part.parts]
        return replace(part, parts=tuple(p for p in inner if isinstance(p, Text | Image | File)))
    if not (isinstance(part, Image | File) and _has_file(part)):
        return part
    try:
        blob, data = await blobs.get(who, part.file)
    except NotFound:
        return Text(f"[the file {part.file} is gone]")
    # The same bytes may have been stored as something else before: what this part says of them counts.
    url = _data_url(part.media_type or blob.media_type, data)
    return replace(part, url=url, file="") if isinstance(part, Image) else replace(part, data=url, file="")
