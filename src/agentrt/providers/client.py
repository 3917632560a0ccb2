"""What a model is asked and what it streams back, the same for every wire format."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol

import msgspec

from agentrt.agents import Limits
from agentrt.events import CallerTool, ReasoningDelta, TextDelta, ToolCallDelta
from agentrt.messages import Message, Usage
from agentrt.tools import ToolDef


class ModelAsk(msgspec.Struct, frozen=True, kw_only=True):
    """One model call. `parameters` have OpenAI's names (`temperature`, `max_tokens`, `response_format`, `tool_choice`, …);
    `caller_tools` are offered beside `tools`, in that order. `call_prefix` begins the id of every tool call in the answer;
    three digits follow, counted from `first_call`. `limits` override those of the provider's entry. `images` are data URLs of
    images that messages give by their address, by that address. `cache_key` is the same for requests that begin alike."""

    model: str
    system: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    tools: tuple[ToolDef, ...] = ()
    caller_tools: tuple[CallerTool, ...] = ()
    parameters: dict[str, Any] = {}
    call_prefix: str = "call_"
    first_call: int = 0
    user: str = ""
    limits: Limits = Limits()
    images: Mapping[str, str] = {}
    cache_key: str = ""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The last thing of a stream: the whole message. `stop` is `stop`, `length`, `tool_calls` or `content_filter`; `model`
    is what the model calls itself, `answered_by` the `provider/model` that was asked, where there was a choice. `refused`: the
    provider says that the text is a refusal."""

    message: Message
    usage: Usage
    stop: str
    model: str = ""
    answered_by: str = ""
    refused: bool = False


class Retrying(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt failed; another begins after `wait_s`, at `next` (`provider/model`; empty: at the same model).

    `attempt` counts from 1 per model; 0: it was passed over unasked. `voids`: what was shown of it is void. `kept`: so many
    characters of text are shown from which the next one goes on. `usage` is what it cost at least.
    """

    attempt: int
    code: str
    message: str
    wait_s: float
    duration_ms: float
    provider: str = ""
    model: str = ""
    next: str = ""
    voids: bool = False
    kept: int = 0
    usage: Usage = Usage()


Chunk = TextDelta | ReasoningDelta | ToolCallDelta | Retrying | Done


class ModelClient(Protocol):
    """Speaks to one provider. One per wire format, and the wrappers around them."""

    def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        """The answer as it arrives: one list per network read, in order, never empty; the very last chunk is Done.

        ModelFailure where there is no whole answer. Closing the generator ends the request upstream.
        """
        ...


class ProviderClient(ModelClient, Protocol):
    """What speaks one wire format itself, with no wrapper around it."""

    async def models(self, *, within_s: float = 10) -> list[str]:
        """The ids that the provider lists; ModelFailure where it lists none in the form of its wire."""
        ...
