"""The wire formats: where each is spoken by default and how a request is opened. Pure."""

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

import msgspec

Wire = Literal["anthropic", "gemini", "offline", "ollama", "openai", "openai_responses"]

_VERSION_AT_END = re.compile(r"/v1/?\Z")
# An address that leads into a version already, such as Vertex's with its project.
_VERSIONED = re.compile(r"/v\d+\w*(?:/|\Z)")


class WireFormat(msgspec.Struct, frozen=True, kw_only=True):
    """`url` is asked where no other address is given; the key travels in the header `key_header`, after `key_prefix`;
    `api_version` is asked for where none is given. A base URL `ends_in` that, where it is the right one."""

    url: str = ""
    key_header: str = "Authorization"
    key_prefix: str = "Bearer "
    api_version: str = ""
    ends_in: str = ""


WIRES: Mapping[Wire, WireFormat] = {
    "anthropic": WireFormat(url="https://api.anthropic.com", key_header="x-api-key", key_prefix="", api_version="2023-06-01"),
    "gemini": WireFormat(
        url="https://generativelanguage.googleapis.com", key_header="x-goog-api-key", key_prefix="", api_version="v1beta"
    ),
    "offline": WireFormat(),
    # A local one wants no key; hosted ones and proxies in front of one do.
    "ollama": WireFormat(url="http://127.0.0.1:11434"),
    "openai": WireFormat(url="https://api.openai.com/v1", ends_in="/v1"),
    "openai_responses": WireFormat(url="https://api.openai.com/v1", ends_in="/v1"),
}


def shape_of_url(wire: Wire) -> str:
    """How a base URL of this wire usually looks, to end a sentence with."""
    known = WIRES[wire]
    return f"ends in {known.ends_in}" if known.ends_in else f"has no path, as in {known.url}"


def address(wire: Wire, url: str | None) -> str:
    """Where requests of a wire go, without a slash at the end; `url` as people write it for that wire."""
    if not url:
        return WIRES[wire].url
    url = url.strip()
    if wire == "ollama":
        return _ollama(url)
    if wire == "anthropic":
        # Its paths begin with /v1, as in Anthropic's own clients; many give the address with it.
        url = _VERSION_AT_END.sub("", url)
    return url.rstrip("/")


def version_path(url: str, version: str) -> str:
    """What leads every path of Gemini's at `url`: `version`, unless the address holds one."""
    return "" if _VERSIONED.search(url) else f"/{version}"


def asked_at(wire: Wire, url: str, api_version: str) -> str:
    """`url` with the version in its query, where a server of OpenAI's dialect wants one: Azure's deployments do."""
    if not api_version or wire not in ("openai", "openai_responses"):
        return url
    return f"{url}{'&' if '?' in url else '?'}api-version={quote(api_version, safe='')}"


def headers(wire: Wire, key: str | None, api_version: str) -> dict[str, str]:
    """What opens a request of this wire with `key`. Who wants a version of OpenAI's dialect wants the key as Azure does."""
    known = WIRES[wire]
    if key and api_version and wire in ("openai", "openai_responses"):
        return {"api-key": key}
    out = {known.key_header: known.key_prefix + key} if key else {}
    if wire == "anthropic":
        out["anthropic-version"] = api_version
    return out


def _ollama(host: str) -> str:
    """OLLAMA_HOST in all its spellings: host, :port, host:port, [::1]:port, with or without a scheme or a path."""
    scheme, found, rest = host.partition("://")
    if not found:
        scheme, rest = "http", host
    rest = rest.rstrip("/")
    # Without a scheme the port is Ollama's own; with one it is the scheme's.
    port = "" if found else ":11434"
    authority, slash, path = rest.partition("/")
    name, given = _split(authority)
    # What a server binds to is no address to go to.
    name = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(name, name)
    return f"{scheme}://{name}{f':{given}' if given else port}{slash}{path}"


def _split(authority: str) -> tuple[str, str]:
    if authority.startswith("["):
        name, _, rest = authority.partition("]")
        return f"{name}]", rest.removeprefix(":")
    if authority.count(":") > 1:  # a bare IPv6 address
        return f"[{authority}]", ""
    name, _, port = authority.partition(":")
    return name, port
