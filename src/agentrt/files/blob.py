import msgspec


class Blob(msgspec.Struct, frozen=True):
    """A file's particulars; `size` in bytes, `created_at` in microseconds since the epoch."""

    id: str
    media_type: str
    name: str
    size: int
    sha256: str
    created_at: int
