"""Data URLs, which carry bytes in a message, taken apart for wires that want the bytes by themselves. Pure."""

from base64 import b64decode, b64encode
from urllib.parse import unquote_to_bytes

import msgspec


class Inline(msgspec.Struct, frozen=True):
    """Bytes as base64 text, and what they are (lower case, without parameters)."""

    media_type: str
    base64: str

    @property
    def bytes(self) -> bytes:
        """The bytes themselves; ValueError where the text is not base64."""
        return b64decode(self.base64, validate=True)


def inline(url: str, media_type: str = "") -> Inline | None:
    """The bytes in a data URL; None for any other address. `media_type`, where given, wins over what the URL says."""
    if url[:5].lower() != "data:":
        return None
    head, _, data = url[5:].partition(",")
    said, *parameters = head.split(";")
    if not any(parameter.strip().lower() == "base64" for parameter in parameters):
        data = b64encode(unquote_to_bytes(data)).decode()
    return Inline((media_type or said or "text/plain").strip().lower(), data.strip())
