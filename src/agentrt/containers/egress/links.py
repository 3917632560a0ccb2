"""Pages of a package index, as code in a box can follow their links. Pure."""

import re
from collections.abc import Mapping

INDEX = "packages"
"""Name of the upstream that is a package index."""
_PAGES = ("text/html", "application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.v1+json")
_LINK = re.compile(rb"""(href\s*=\s*["']?|"url"\s*:\s*")(?:(https?://[^/"'\s<>]+)(?=/)|(?=/[^/]))""", re.IGNORECASE)
_MOST_HELD = 65_536


def is_page(name: str, content_type: str) -> bool:
    """Whether what this upstream answers has links that installers follow."""
    return name == INDEX and content_type.partition(";")[0].strip().lower() in _PAGES


class Links:
    """One body. Links to upstreams lead there by the proxy; others stay. What may be the beginning of a link is held back."""

    def __init__(self, name: str, origins: Mapping[str, str]) -> None:
        """`name` is the upstream's; `origins` are those of all of them, with their names."""
        self._name, self._origins = name, origins
        self._held = b""

    def see(self, data: bytes) -> bytes:
        data = self._held + data
        # a link stands within a tag, or within an object
        cut = max(data.rfind(b"<"), data.rfind(b"{"), 0)
        if len(data) - cut > _MOST_HELD:
            cut = len(data)
        self._held = data[cut:]
        return _LINK.sub(self._led, data[:cut])

    def rest(self) -> bytes:
        """What was held back; nothing follows it."""
        return _LINK.sub(self._led, self._held)

    def _led(self, found: re.Match[bytes]) -> bytes:
        origin = found[2]
        name = self._name if origin is None else self._origins.get(origin.decode("latin-1").lower())
        return found[0] if name is None else b"%b/%b" % (found[1], name.encode())
