"""Files of the caller's workspace as resources: `workspace:///PATH`, and `workspace://SESSION/PATH` of a named session."""

import asyncio
import base64
import binascii
import bisect
from collections.abc import Callable, Sequence
from mimetypes import guess_type
from urllib.parse import quote, unquote

import msgspec

from agentrt.agents import SandboxRule
from agentrt.containers import Sandboxes
from agentrt.kernel import Invalid, NotFound, Principal, TooLarge, Unavailable
from agentrt.sessions import is_session

from .tools import SESSION

SCHEME = "workspace"
PAGE = 200
MOST_READ = 8 * 1024 * 1024


class FileEntry(msgspec.Struct, frozen=True):
    """A file as resources are listed; `size` is in bytes, `media_type` None where its name tells none."""

    uri: str
    path: str
    media_type: str | None
    size: int


class FileContent(msgspec.Struct, frozen=True):
    """`text` where the file is one, else None."""

    media_type: str
    data: bytes
    text: str | None


class WorkspaceFiles:
    """`rule` says which workspace belongs to a session now. Without sandboxes there are no files."""

    def __init__(self, sandboxes: Sandboxes | None, rule: Callable[[], SandboxRule]) -> None:
        self._sandboxes, self._rule = sandboxes, rule

    async def list(self, who: Principal, cursor: str | None) -> tuple[Sequence[FileEntry], str | None]:
        """A page of the files of the caller's own session, and where the next one begins. Hidden ones are left out. Invalid."""
        if self._sandboxes is None:
            return (), None
        after = _path_of(cursor)
        try:
            async with self._sandboxes.files(who, SESSION, self._rule()) as tree:
                if tree is None:
                    return (), None
                found = await asyncio.to_thread(tree.list, ".", recursive=True)
        except Unavailable:  # clients ask as soon as they connect, and want nothing of files perhaps
            return (), None
        files = [entry for entry in found.entries if entry.kind == "file" and not _is_hidden(entry.path)]
        first = bisect.bisect_right([entry.path for entry in files], after) if after else 0
        page = files[first : first + PAGE]
        entries = [FileEntry(_uri(entry.path), entry.path, guess_type(entry.path)[0], entry.size) for entry in page]
        return entries, _cursor(page[-1].path) if first + PAGE < len(files) else None

    async def read(self, who: Principal, uri: str) -> FileContent:
        """Invalid, NotFound; TooLarge above 8 MiB."""
        session, path = _parsed(uri)
        if self._sandboxes is None:
            raise _nothing(uri)
        async with self._sandboxes.files(who, session, self._rule()) as tree:
            if tree is None:
                raise _nothing(uri)
            data = await asyncio.to_thread(tree.read, path, 0, MOST_READ + 1)
        if len(data) > MOST_READ:
            raise TooLarge(f"{path[:120]!r} is larger than {MOST_READ} bytes; download it from the sandbox", param="uri")
        text = _text(data)
        unknown = "application/octet-stream" if text is None else "text/plain"
        return FileContent(guess_type(path)[0] or unknown, data, text)


def _parsed(uri: str) -> tuple[str, str]:
    """The session and the path, to which `?` and `#` belong: who fills in the templates may leave them as they are."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != SCHEME:
        raise _nothing(uri)
    named, _, path = rest[2:].partition("/") if rest.startswith("//") else ("", "", rest)
    session, path = unquote(named) or SESSION, unquote(path).lstrip("/")
    if not is_session(session) or not path:
        raise Invalid("a file is workspace:///PATH, or workspace://SESSION/PATH", param="uri")
    return session, path


def _nothing(uri: str) -> NotFound:
    return NotFound(f"there is no resource {uri[:200]}", code="resource_not_found", param="uri")


def _uri(path: str) -> str:
    return f"{SCHEME}:///{quote(path)}"


def _cursor(path: str) -> str:
    return base64.urlsafe_b64encode(path.encode("utf-8", "surrogatepass")).decode()


def _path_of(cursor: str | None) -> str:
    if cursor is None:
        return ""
    try:
        return base64.b64decode(cursor.encode(), b"-_", validate=True).decode("utf-8", "surrogatepass")
    except (binascii.Error, UnicodeError):
        raise Invalid("this cursor is none of ours", param="cursor") from None


def _is_hidden(path: str) -> bool:
    return path.startswith(".") or "/." in path


def _text(data: bytes) -> str | None:
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
