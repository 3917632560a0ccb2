import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from .yaml_document import Check

T = TypeVar("T")


class Kind(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One sort of document: what it is called, its type, and the files and folders it is read from.

    A folder gives its `*.yaml` and `*.yml`; a file is read whatever its ending. `names` says what a document is called
    (the first is its name, the others its aliases; none: the file's stem). `check` finds what types cannot say, as
    (path, message, line in the text or 0). `amend` changes a document after it was checked, before it is versioned.
    A kind that is not `optional` and has no document is a problem. Versions of a kind that is not `stored` are known until
    the process ends: for documents that may hold secrets.
    """

    name: str
    type: type[T]
    paths: tuple[Path, ...]
    names: Callable[[T], Sequence[str]] | None = None
    check: Check[T] | None = None
    amend: Callable[[T], T] | None = None
    optional: bool = False
    stored: bool = True


class Versioned(msgspec.Struct, Generic[T], frozen=True):
    """A document as it is served. `version` is a hash of its content; `source` the file as the operator named it."""

    name: str
    version: str
    spec: T
    source: str
    aliases: tuple[str, ...] = ()


def canonical(spec: Any) -> bytes:
    """The JSON of a document: equal documents give equal bytes."""
    return msgspec.json.encode(spec, order="deterministic")


def version_of(spec: Any) -> str:
    """16 hex digits that name this content."""
    return hashlib.sha256(canonical(spec)).hexdigest()[:16]
