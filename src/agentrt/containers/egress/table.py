"""The fixed table of upstreams: which request may go where, and with which credential. Pure."""

import base64
import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from fnmatch import translate
from functools import cached_property
from typing import Any
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from agentrt.kernel import AgentrtError, Invalid, expand, lookup, names_in

from ..spec import Upstream
from .credentials import PLACEHOLDER, SHORTEST_SECRET, Mask
from .requests import Refused

GATEWAY = "v1"

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?\Z|https?://\[[0-9A-Fa-f:.]+\](:\d{1,5})?\Z")
_TARGET = re.compile(rb"/[!-~]*\Z")
# what one reader takes for a slash, a dot or an end and another does not, once and twice encoded
_TRICKS = re.compile(rb"%(?:25)*(?:2f|5c|2e|0[0-9a-f]|1[0-9a-f]|7f)|%(?:25)+(?:3f|23|3b)|/\.\.?%3b|[\\#{}|^`<>\"]", re.IGNORECASE)
_SIGNS = "/\\;"
_ENCODED = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Way:
    """One upstream, ready to be asked. `secrets` are its credentials by the names they have in the server's environment."""

    def __init__(self, name: str, spec: Upstream, env: Mapping[str, str]) -> None:
        if not _ORIGIN.match(spec.origin):
            raise Invalid(f"containers.upstreams.{name}.origin: {spec.origin!r} is not https://host", code="settings_invalid")
        if name == GATEWAY or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
            raise Invalid(f"containers.upstreams.{name}: an upstream cannot have this name", code="settings_invalid")
        self.name, self.spec, self._env = name, spec, env
        self._globs = [re.compile(translate(glob)) for glob in spec.paths]
        self._methods = frozenset(method.upper() for method in spec.methods)
        self.owned = frozenset(names_in(spec.value))

    @cached_property
    def secrets(self) -> dict[str, str]:
        """Refused where one is not set, or so short that it could not be told apart in an answer."""
        found = {name: lookup(self._env, name) or "" for name in self.owned}
        if any(len(secret) < SHORTEST_SECRET for secret in found.values()):
            raise Refused(503, "credential_missing", f"the credential of {self.name} is not set on the server, or too short")
        return found

    @cached_property
    def credential(self) -> tuple[str, str] | None:
        """The header that is added."""
        if not self.spec.header:
            return None
        try:
            return self.spec.header.lower(), expand(self.spec.value, self._env)
        except AgentrtError:
            raise Refused(503, "credential_missing", f"the credential of {self.name} is not set on the server") from None

    @cached_property
    def mask(self) -> Mask:
        """Hides the credentials. Refused where they could not be told apart in an answer, so that nothing is sent then."""
        words = [word for word in self.credential[1].split() if len(word) >= SHORTEST_SECRET] if self.credential else []
        if self.credential and not words:
            raise Refused(503, "credential_missing", f"the credential of {self.name} is too short")
        return Mask([*self.secrets.values(), *words, *_passwords(self.credential)])

    def check(self, method: str, path: bytes) -> None:
        """Refused where the upstream may not be asked for this."""
        if method not in self._methods:
            raise Refused(405, "method_not_allowed", f"{method} is not let through to {self.name}")
        if not self._matches(path):
            raise Refused(403, "path_not_allowed", f"this path is not let through to {self.name}")

    def url(self, rest: bytes) -> str:
        return self.spec.origin + rest.decode("ascii")

    def inside(self, asked: str, location: str) -> str | None:
        """A redirect's target as code in the box can follow it; None where it leads out of what is let through."""
        try:
            target = urljoin(asked, location)
            parts = urlsplit(target)
            rest = target.partition("://")[2].partition("/")[2]
            path, _ = split_target(b"/" + rest.partition("#")[0].encode("ascii"))
        except (ValueError, UnicodeError, Refused):
            return None
        if f"{parts.scheme}://{parts.netloc}".lower() != self.spec.origin.lower() or not self._matches(path):
            return None
        return f"/{self.name}/{rest}"

    def _matches(self, path: bytes) -> bool:
        text = unquote_to_bytes(path).decode("utf-8", "replace")
        return any(glob.match(text) for glob in self._globs)


def _passwords(credential: tuple[str, str] | None) -> list[str]:
    """What is readable within basic authentication."""
    scheme, _, rest = credential[1].partition(" ") if credential else ("", "", "")
    if scheme.lower() != "basic":
        return []
    with suppress(ValueError):
        pair = base64.b64decode(rest.strip()).decode()
        return [word for word in (pair, pair.partition(":")[2]) if len(word) >= SHORTEST_SECRET]
    return []


class Table:
    """The upstreams of the settings by name. Invalid names the one that is written wrong."""

    def __init__(self, upstreams: Mapping[str, Upstream], env: Mapping[str, str]) -> None:
        self._ways = {name: Way(name, spec, env) for name, spec in upstreams.items()}
        self.origins = {spec.origin.lower(): name for name, spec in upstreams.items()}
        """Names of the upstreams by their origins."""

    def find(self, name: str, allowed: Any) -> Way:
        """Refused where there is none of this name, or the agent may not use it: the two are told alike."""
        way = self._ways.get(name) if name in allowed else None
        if way is None:
            raise Refused(404, "upstream_not_allowed", f"there is no upstream {name[:64]!r} for this agent")
        return way


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """Path and query of a request's target. Refused for anything but a plain path: what cannot be read in two ways."""
    if not _TARGET.match(target):
        raise Refused(400, "target", "the target must be a path", last=True)
    path, mark, query = target.partition(b"?")
    segments = path[1:].split(b"/")
    if b"#" in query or _ENCODED.search(path):
        raise Refused(400, "path", "the path is malformed")
    if PLACEHOLDER.search(unquote_to_bytes(target)):
        raise Refused(403, "placeholder", "a credential does not stand in an address")
    ways = any(segment.partition(b";")[0] in (b".", b"..") for segment in segments) or b"" in segments[:-1]
    if ways or _TRICKS.search(path) or _seems_other(unquote_to_bytes(path)):
        raise Refused(400, "path", "the path can be read in more than one way")
    return path, mark + query


def _seems_other(path: bytes) -> bool:
    """Whether a careless reader finds signs in it that are none: written longer than need be, or in another script's form."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return True
    if text.isascii():
        return False
    plain = unicodedata.normalize("NFKC", text)
    leads_up = any(segment in (".", "..") for segment in plain.split("/"))
    return leads_up or any(plain.count(sign) != text.count(sign) for sign in _SIGNS)


def first_segment(path: bytes) -> tuple[str, bytes]:
    """`/name/a/b` → `name`, `/a/b`."""
    name, slash, rest = path[1:].partition(b"/")
    return name.decode("ascii"), b"/" + rest if slash else b"/"
