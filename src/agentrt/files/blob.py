from collections.abc import Sequence
from typing import Literal

import msgspec

Order = Literal["asc", "desc"]


class Blob(msgspec.Struct, frozen=True):
    """A file's particulars; `size` in bytes, times in microseconds since the epoch."""

    id: str
    media_type: str
    name: str
    size: int
    sha256: str
    created_at: int
    purpose: str = "user_data"
    expires_at: int | None = None


class Listed(msgspec.Struct, frozen=True):
    """A page of uploaded files, and whether there are more."""

    blobs: Sequence[Blob]
    has_more: bool
