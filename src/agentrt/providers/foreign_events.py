"""Events of types that say nothing to us. Pure."""

from collections.abc import Collection

import msgspec


class _Named(msgspec.Struct, gc=False):
    type: str = ""


_decode = msgspec.json.Decoder(_Named).decode


def is_foreign(data: bytes, ours: Collection[str]) -> bool:
    """Whether this is an event of another type than `ours`: it may have anything in fields of our names."""
    try:
        name = _decode(data).type
    except msgspec.ValidationError:
        return False
    return bool(name) and name not in ours
