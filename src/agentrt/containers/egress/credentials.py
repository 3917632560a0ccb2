"""Credentials on their way out, and kept from coming back. Pure."""

import base64
import html
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

PLACEHOLDER = re.compile(rb"\{\{agentrt:([A-Za-z_][A-Za-z0-9_]{0,63})\}\}")
_OPENING = b"{{agentrt:"
_LONGEST = len(_OPENING) + 64 + 2
_SURE = 4
SHORTEST_SECRET = 8


def placeholders_in(data: bytes) -> set[str]:
    """The names of the credentials that stand for themselves in `data`."""
    return {name.decode() for name in PLACEHOLDER.findall(data)}


def filled(data: bytes, secrets: Mapping[str, str]) -> bytes:
    """`data` with every placeholder replaced; all of them are known."""
    return PLACEHOLDER.sub(lambda found: secrets[found[1].decode()].encode(), data)


class PlaceholderWatch:
    """Looks for placeholders in what flows past, also where one is cut in two. What may be the beginning of one is held back."""

    def __init__(self) -> None:
        self._held = b""

    def see(self, data: bytes, *, last: bool = False) -> tuple[bytes, bool]:
        """What may go on, and whether a placeholder is in it."""
        data = self._held + data
        if PLACEHOLDER.search(data):
            return b"", True
        cut = len(data) if last else _open_at(data)
        self._held = data[cut:]
        return data[:cut], False


def _open_at(data: bytes) -> int:
    """Where a placeholder may have begun that has not ended; the end where none has."""
    for at in range(max(0, len(data) - _LONGEST), len(data)):
        tail = data[at : at + len(_OPENING)]
        if _OPENING.startswith(tail) or (tail == _OPENING and b"}}" not in data[at:]):
            return at
    return len(data)


class Mask:
    """Hides secrets in what flows past: each of their bytes becomes `*`, so that lengths stay true. Also in the forms that
    servers reflect them in: within JSON or HTML, in an address, as hexadecimal digits, as base64 of whatever they are part of."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._needles = _forms(secrets)

    def header(self, value: bytes) -> bytes:
        return bytes(_masked(value, self._needles))

    def body(self) -> "MaskedBody":
        return MaskedBody(self._needles)


class MaskedBody:
    """One body. Only the beginning of what may be a secret is held back, so that streamed answers flow."""

    def __init__(self, needles: Collection[bytes]) -> None:
        self._needles = needles
        self._held = self._held_masked = b""

    def see(self, data: bytes) -> bytes:
        data, before = self._held + data, self._held_masked
        if not self._needles:
            return data
        masked = _masked(data, self._needles)
        masked[: len(before)] = bytes(42 if a == 42 else b for a, b in zip(before, masked, strict=False))
        cut = len(data) - self._partial(data)
        self._held, self._held_masked = data[cut:], bytes(masked[cut:])
        return bytes(masked[:cut])

    def rest(self) -> bytes:
        """What was held back; nothing follows it."""
        return self._held_masked

    def _partial(self, data: bytes) -> int:
        """The length of the longest end of `data` that a secret begins with."""
        longest = 0
        for needle in self._needles:
            at = data.find(needle[:_SURE], max(0, len(data) - len(needle) + 1))
            while at >= 0 and not needle.startswith(data[at:]):
                at = data.find(needle[:_SURE], at + 1)
            few = range(1, min(_SURE, len(data) + 1))
            ends = [len(data) - at] if at >= 0 else [size for size in few if needle.startswith(data[-size:])]
            longest = max(longest, *ends, 0)
        return longest


def _masked(data: bytes, needles: Collection[bytes]) -> bytearray:
    out = bytearray(data)
    for needle in needles:
        at = data.find(needle)
        while at >= 0:
            out[at : at + len(needle)] = b"*" * len(needle)
            at = data.find(needle, at + 1)
    return out


def _forms(secrets: Iterable[str]) -> tuple[bytes, ...]:
    found: dict[bytes, None] = {}
    for secret in secrets:
        forms = [*_as_text(secret), *_as_base64(secret.encode())]
        found |= dict.fromkeys(form for form in forms if form)
        found |= dict.fromkeys(form.replace(b"/", rb"\/") for form in forms if b"/" in form)  # as some write JSON
    return tuple(found)


def _as_text(secret: str) -> Iterator[bytes]:
    yield secret.encode()
    for ascii_only in (True, False):
        yield json.dumps(secret, ensure_ascii=ascii_only)[1:-1].encode()
    for address in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield address.encode()
        yield re.sub("%..", lambda found: found[0].lower(), address).encode()
    for quoted in ("&#x27;", "&#39;"):
        yield html.escape(secret).replace("&#x27;", quoted).encode()
    yield secret.encode().hex().encode()
    yield secret.encode().hex().upper().encode()


def _as_base64(raw: bytes) -> Iterator[bytes]:
    """As it is, and as what of it is the same wherever in something longer it stands."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw).rstrip(b"=")
        for before in range(3):
            yield encode(b"\0" * before + raw)[-(-before * 4 // 3) : (before + len(raw)) * 4 // 3]
