"""Where to listen, and who can reach it."""

from ipaddress import ip_address

import msgspec

from .errors import SettingsInvalid

EVERY_ADDRESS = "0.0.0.0"


class Address(msgspec.Struct, frozen=True):
    """`host` and `port`, either of which a source may leave to the next one."""

    host: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Address":
        """From `HOST:PORT`, `:PORT` (every address), `HOST` or `[IPv6]:PORT`; ValueError says what is wrong with it."""
        host, colon, port = text.strip().rpartition(":")
        if not colon or text.endswith("]") or (":" in host and not host.startswith("[")):
            host, colon, port = text.strip(), "", ""
        host = host.removeprefix("[").removesuffix("]")
        if not colon:
            if not host or host.isdecimal():
                raise ValueError(f"expected HOST:PORT, such as 127.0.0.1:8080 or :8080, got {text!r}")
            return cls(host)
        return cls(host or EVERY_ADDRESS, parse_port(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in (self.host or "") else f"{self.host}:{self.port}"


def parse_port(text: str) -> int:
    """A port from its digits; ValueError says what is wrong with it."""
    if not (text.isascii() and text.isdecimal()) or int(text) > 65_535:
        raise ValueError(f"expected a port from 0 to 65535, got {text!r}")
    return int(text)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def exposure(host: str, addr: str, *, allowed: bool) -> str | None:
    """The warning for an address that others can reach; None for loopback, SettingsInvalid where it is not `allowed`."""
    if is_loopback(host):
        return None
    if not allowed:
        raise SettingsInvalid(
            f"{addr} can be reached by others and nothing here asks who they are: listen on 127.0.0.1,"
            " or say --allow-unauthenticated if that is what you want",
            code="unauthenticated",
            param="addr",
        )
    return f"{addr} can be reached by others, and anyone who reaches it may use every agent and tool (--allow-unauthenticated)"
