"""Which addresses lie inside: this machine, its network, what a cloud tells its own machines. Pure."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

# Public by their number only: what a cloud answers its own machines there is theirs alone.
_INNER = tuple(map(ip_network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "255.255.255.255/32")))
_TRANSLATED = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")


def is_inner(address: Address) -> bool:
    """Whether an address is none of the public internet: loopback, private, link-local, multicast, reserved, a cloud's own.

    An IPv4 address inside an IPv6 one counts as what it is.
    """
    return any(map(_is_inner, _meant_by(address)))


class Allowed:
    """Hosts that may be asked although they lie inside: names, addresses, and networks (`10.1.0.0/16`)."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._names: set[str] = set()
        self._networks = []
        for entry in entries:
            try:
                self._networks.append(ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                self._names.add(entry.lower().rstrip("."))

    def allows(self, host: str, address: Address) -> bool:
        """Whether `host`, found at `address`, may be asked."""
        if host.lower().rstrip(".") in self._names:
            return True
        if any(address.version == network.version and address in network for network in self._networks):
            return True
        return not is_inner(address)


def literal(host: str) -> Address | None:
    """The address that a host of a URL is written as; None for a name."""
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _meant_by(address: Address) -> Iterator[Address]:
    if isinstance(address, IPv4Address):
        yield address
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address in _TRANSLATED or (address in _COMPATIBLE and int(address) > 1):
        yield IPv4Address(int(address) & 0xFFFFFFFF)
    else:
        yield address
        if address.sixtofour is not None:
            yield address.sixtofour
        if address.teredo is not None:
            yield from address.teredo


def _is_inner(address: Address) -> bool:
    bad = not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified
    if isinstance(address, IPv6Address):
        bad = bad or address.is_site_local
    return bad or any(address.version == network.version and address in network for network in _INNER)
