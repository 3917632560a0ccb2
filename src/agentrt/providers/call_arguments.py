"""A call's arguments, for wires that want them as an object. Pure."""

from typing import Any

import msgspec

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def as_object(arguments: str) -> Any:
    """The arguments as the model wrote them, to be encoded as they are; what it wrote that is no object stays readable."""
    try:
        _object.decode(arguments)
    except msgspec.DecodeError:
        return {"malformed_arguments": arguments}
    return msgspec.Raw(arguments.encode())
