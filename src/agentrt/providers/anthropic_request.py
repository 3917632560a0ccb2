"""The Messages API, outward: what a model is asked, as the body of a request. Pure."""

import hashlib
import re
from typing import Any

import msgspec

from agentrt.messages import Thinking

from .anthropic_content import Json, Turns, is_thinking
from .anthropic_models import TIERS, Abilities, abilities, takes_sampling
from .anthropic_schema import closed
from .anthropic_tools import offer
from .client import ModelAsk
from .form_in_words import form_in_words

_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384}
_MOST_BUDGET, _LEAST_BUDGET = 24_576, 1024
# The API refuses ids that look like an address or a telephone number, and long ones.
_PERSONAL = re.compile(r".*@.*|\+?[\d\s().-]{7,}|.{257,}", re.DOTALL)


def request_body(ask: ModelAsk, provider: str, api_version: str = "", *, thinking: bool = True) -> bytes:
    """The JSON to post to `/v1/messages`; always a stream. `thinking`: whether earlier thinking goes back with it.

    ModelFailure `invalid_request` for what the model is known not to take.
    """
    known = abilities(ask.model)
    turns = Turns(provider, thinking=thinking)
    system = list(ask.system)
    for message in ask.messages:
        if message.role in ("system", "developer") and not turns.turns:
            system.append(message.text)
        else:
            turns.add(message)
    wanted = ask.parameters.get("response_format")
    schema = _schema_in(wanted) if known.native_schema else None
    if schema is None and (words := form_in_words(wanted)):
        system.append(words)
    body: Json = {"model": ask.model, "max_tokens": _limit(ask, known), "stream": True}
    if blocks := [{"type": "text", "text": text} for text in system if text.strip()]:
        body["system"] = blocks
    body["messages"] = turns.end()
    offer(body, ask, known, provider)
    _think(body, ask, known)
    if schema is not None:
        body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": closed(schema)}
    if takes_sampling(known, api_version) and not _thinks(body):
        _sample(body, ask, known)
    _name_the_rest(body, ask)
    _mark_for_cache(body)
    # Last, so that the next turn begins with the very bytes of this one, up to the marks.
    body["messages"] = body.pop("messages")
    return msgspec.json.encode(body)


def carries_thinking(ask: ModelAsk, provider: str) -> bool:
    """Whether thinking that `provider` signed is among the messages."""
    parts = (part for message in ask.messages for part in message.parts if isinstance(part, Thinking))
    return any(part.provider == provider and is_thinking(part.opaque) for part in parts)


def _limit(ask: ModelAsk, known: Abilities) -> int:
    given = ask.parameters
    return given.get("max_completion_tokens") or given.get("max_tokens") or known.most


def _think(body: Json, ask: ModelAsk, known: Abilities) -> None:
    effort = ask.parameters.get("reasoning_effort")
    # A call cannot be forced on a model that thinks first.
    forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
    if known.thinking == "adaptive":
        _adapt(body, effort, forced, known)
    elif known.thinking == "budget" and effort not in (None, "none") and not forced and _may_begin_to_think(body["messages"]):
        budget = min(_BUDGETS.get(effort, _MOST_BUDGET), body["max_tokens"] // 2)
        if budget >= _LEAST_BUDGET:
            body["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _adapt(body: Json, effort: str | None, forced: bool, known: Abilities) -> None:
    still = effort == "none" or forced
    if still and known.off in ("disabled", "between_tools"):
        body["thinking"] = {"type": known.off}
    elif not still and (effort is not None or known.unasked):
        # Without `display` newer models keep to themselves what they think, and what they say between two calls.
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
    if effort == "none":
        effort = "low" if known.off == "never" else None
    if effort is not None:
        level = "low" if effort == "minimal" else effort
        most = "high" if level not in known.efforts or (forced and level in ("xhigh", "max")) else level
        body["output_config"] = {"effort": most}


def _may_begin_to_think(turns: list[Json]) -> bool:
    """With a budget, a turn that goes on after a tool call must have begun with thinking: another model's has not."""
    newest = turns[-1]
    if newest["role"] == "assistant":
        return False  # it is to go on with words that it did not think about
    return newest["content"][0]["type"] != "tool_result" or len(turns) < 2 or is_thinking(turns[-2]["content"][0])


def _thinks(body: Json) -> bool:
    return body.get("thinking", {}).get("type") in ("enabled", "adaptive")


def _sample(body: Json, ask: ModelAsk, known: Abilities) -> None:
    given = {name: value for name in ("temperature", "top_p", "top_k") if (value := ask.parameters.get(name)) is not None}
    if "temperature" in given:
        given["temperature"] = min(given["temperature"], 1)  # OpenAI's goes up to 2
        if not known.both_samplings:
            given.pop("top_p", None)
    body.update(given)


def _schema_in(wanted: Any) -> Json | None:
    match wanted:
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return schema
        case _:
            return None


def _name_the_rest(body: Json, ask: ModelAsk) -> None:
    stop = ask.parameters.get("stop") or ()
    if stops := [each for each in ([stop] if isinstance(stop, str) else stop) if each]:
        body["stop_sequences"] = stops
    if tier := TIERS.get(ask.parameters.get("service_tier") or ""):
        body["service_tier"] = tier
    if user := ask.parameters.get("safety_identifier") or ask.user:
        known_as = hashlib.sha256(user.encode()).hexdigest() if _PERSONAL.fullmatch(user) else user
        body["metadata"] = {"user_id": known_as}


def _mark_for_cache(body: Json) -> None:
    """Mark what the next request begins with: the tools, the first system text, and the two newest of the user's turns:
    the one that this request adds, and the one before it, which is where the last request left its mark."""
    ends: list[Any] = []
    if "tools" in body:
        ends.append(body["tools"][-1])
    if "system" in body:
        ends.append(body["system"][0])
    ends += [turn["content"][-1] for turn in body["messages"] if turn["role"] == "user"][-2:]
    for block in ends:
        block["cache_control"] = {"type": "ephemeral"}
