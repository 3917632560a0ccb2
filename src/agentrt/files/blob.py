import msgspec


class Blob(msgspec.Struct, frozen=True):
    """A file's particulars; `size` in bytes."""

    id: str
    media_type: str
    name: str
    size: int
    sha256: str
