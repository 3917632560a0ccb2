"""Server-sent events from bytes, by the letter of the HTML standard."""

import re
from collections.abc import Iterable, Iterator

import msgspec

# a CR at the end of what has come may be the first half of a CRLF: it waits
_LINE_END = re.compile(rb"\r\n|\n|\r(?=[\s\S])")


class ServerEvent(msgspec.Struct, frozen=True):
    """One event; `id` is the last one seen, which a later event without its own keeps."""

    event: str
    data: str
    id: str
    retry_ms: int | None = None


def read_events(chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
    """The events of a stream; one that was cut off before its empty line is dropped, as the standard says."""
    event, data, last_id, retry = "", list[str](), "", None
    for line in _lines(chunks):
        if not line:
            if data:
                yield ServerEvent(event or "message", "\n".join(data), last_id, retry)
            event, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                event = value
            case "data":
                data.append(value)
            case "id" if "\0" not in value:
                last_id = value
            case "retry" if value.isascii() and value.isdecimal():
                retry = int(value)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    # not str.splitlines: it also breaks at U+2028 and its like, which JSON may hold
    rest, first = b"", True
    for chunk in chunks:
        *whole, rest = _LINE_END.split(rest + chunk)
        for line in whole:
            text = line.decode(errors="replace")
            yield text.removeprefix("\ufeff") if first else text
            first = False
