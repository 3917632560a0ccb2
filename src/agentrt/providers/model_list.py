"""What a provider answers to the question which models it has."""

from typing import TypeVar

import msgspec

from .errors import ModelFailure
from .transport import Transport

Form = TypeVar("Form")


class Listed(msgspec.Struct):
    id: str


class ModelList(msgspec.Struct):
    """As OpenAI and Anthropic give it."""

    data: list[Listed] = []

    @property
    def ids(self) -> list[str]:
        return [model.id for model in self.data]


async def model_list(transport: Transport, path: str, form: type[Form], maker: str, within_s: float) -> Form:
    """What is at `path`; ModelFailure where that has not got the `form` that its `maker` gives it."""
    body = await transport.get(path, within_s=within_s)
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        why = f"{transport.provider} does not list its models in {maker}'s form"
        raise ModelFailure(why, code="malformed") from exc
