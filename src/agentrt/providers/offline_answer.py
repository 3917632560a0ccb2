"""What the offline model says to a request. Pure and deterministic: the same request gets the same answer."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from agentrt.messages import Image, Message, ToolResult

from .client import ModelAsk
from .offline_rules import OfflineCall, OfflineRule
from .offline_template import arguments_for, fill, variables_of
from .schema_sample import sample

# A regular expression is searched in this much of a text: no rule needs more, and some take their time.
_MOST_SEARCHED = 10_000
_FINISH = "finish_task"
_NO_RULE = OfflineRule()

_Calls = tuple[tuple[str, str], ...]
_Tools = Mapping[str, Mapping[str, Any]]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer before it is cut into chunks. `calls` are names and arguments (JSON)."""

    rule: OfflineRule
    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    stop: str = "stop"


def answer(ask: ModelAsk, rules: Sequence[OfflineRule], about: str) -> Answer:
    """The answer of the first rule that fits. `about` says what the offline model is and why it serves."""
    newest, results = _turn(ask.messages)
    tools = _offered(ask)
    rule, variables, calls = _choose(ask, newest.text[:_MOST_SEARCHED], rules, tools)
    shown = ", ".join(name for name in tools if name != _FINISH) or "no tools"
    # What a rule found never turns into a variable, whatever the user wrote.
    known = {"text": newest.text, "model": ask.model, "tools": shown, "about": about, "results": _told(results), **variables}
    reasoning = fill(rule.reasoning, known)
    if not results:
        calls = _forced(ask, calls, tools, known)
        if calls:
            return Answer(rule=rule, reasoning=reasoning, calls=calls, stop="tool_calls")
    text = _in_format(fill(rule.after_tools if results else rule.reply, known), newest, ask.parameters)
    text, stop = _cut(text, ask.parameters)
    ending = ()
    if _FINISH in tools and stop == "stop":
        # An autonomous run goes on until this tool is called.
        ending, stop = (_call(_FINISH, arguments_for([text], tools[_FINISH], {})),), "tool_calls"
    return Answer(rule=rule, text=text, reasoning=reasoning, calls=ending, stop=stop)


def _turn(messages: Sequence[Message]) -> tuple[Message, list[ToolResult]]:
    """The newest user message, and the tool results that came after it."""
    at = next((i for i in range(len(messages) - 1, -1, -1) if messages[i].role == "user"), -1)
    newest = messages[at] if at >= 0 else Message("user")
    return newest, [part for message in messages[at + 1 :] for part in message.parts if isinstance(part, ToolResult)]


def _offered(ask: ModelAsk) -> _Tools:
    """The schemas of the tools that may be called, by id."""
    if ask.parameters.get("tool_choice") == "none":
        return {}
    return {tool.id: tool.schema for tool in ask.tools} | {tool.name: tool.parameters or {} for tool in ask.caller_tools}


def _choose(ask: ModelAsk, text: str, rules: Sequence[OfflineRule], tools: _Tools) -> tuple[OfflineRule, dict[str, str], _Calls]:
    for rule in rules:
        if not fnmatchcase(ask.model, rule.model):
            continue
        match = re.search(rule.match, text, re.IGNORECASE | re.DOTALL)
        if match is None:
            continue
        variables = variables_of(match)
        calls = _calls_of(rule, variables, tools)
        if calls is not None:
            return rule, variables, calls
        if rule.reply:
            # Its tools are not on offer: it says so.
            return msgspec.structs.replace(rule, after_tools=rule.reply), variables, ()
    return _NO_RULE, {}, ()


def _calls_of(rule: OfflineRule, variables: Mapping[str, str], tools: _Tools) -> _Calls | None:
    """The calls of a rule; None where one of its tools is not on offer."""
    calls = []
    for wanted in rule.calls:
        name = _tool_for(wanted, variables, tools)
        if name is None:
            return None
        calls.append(_call(name, arguments_for(wanted.arguments, tools[name], variables)))
    return tuple(calls)


def _tool_for(wanted: OfflineCall, variables: Mapping[str, str], tools: _Tools) -> str | None:
    for glob in wanted.globs:
        filled = fill(glob, variables)
        for name in tools:
            if fnmatchcase(name, filled):
                return name
    return None


def _call(name: str, arguments: dict[str, Any]) -> tuple[str, str]:
    return name, msgspec.json.encode(arguments).decode()


def _forced(ask: ModelAsk, calls: _Calls, tools: _Tools, known: Mapping[str, str]) -> _Calls:
    """The calls that `tool_choice` leaves: a named function is called, and `required` calls at least one."""
    choice = ask.parameters.get("tool_choice")
    if isinstance(choice, Mapping):
        name = (choice.get("function") or {}).get("name")
        if isinstance(name, str) and name in tools:
            chosen = tuple(call for call in calls if call[0] == name)
            return chosen or (_call(name, arguments_for({}, tools[name], known)),)
    if choice == "required" and tools and not calls:
        name = next((name for name in tools if name != _FINISH), _FINISH)
        return (_call(name, arguments_for({}, tools[name], known)),)
    return calls


def _told(results: Sequence[ToolResult]) -> str:
    """What the tools returned, as text."""
    return "\n".join(map(_told_by_one, results))


def _told_by_one(result: ToolResult) -> str:
    text = result.text
    if not text and result.structured is not None:
        text = msgspec.json.encode(result.structured).decode()
    if images := sum(isinstance(part, Image) for part in result.parts):
        text = f"{text} ({_counted(images)})".lstrip()
    return f"the tool failed: {text}" if result.is_error else text


def _in_format(text: str, newest: Message, parameters: Mapping[str, Any]) -> str:
    """The text as `response_format` wants it; in plain text, with a word about images that came along."""
    wanted = parameters.get("response_format") or {}
    if wanted.get("type") in ("json_schema", "json_object"):
        if _is_object(text):
            return text
        schema = (wanted.get("json_schema") or {}).get("schema")
        return msgspec.json.encode({"reply": text} if schema is None else sample(schema)).decode()
    if images := sum(isinstance(part, Image) for part in newest.parts):
        return f"I see {_counted(images)}, but an offline model cannot look at what is shown.\n\n{text}"
    return text


def _counted(images: int) -> str:
    return "1 image" if images == 1 else f"{images} images"


def _is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except msgspec.DecodeError:
        return False


def _cut(text: str, parameters: Mapping[str, Any]) -> tuple[str, str]:
    """The text up to the first stop sequence and the token limit (four bytes a token), and why it ends."""
    stops = parameters.get("stop") or ()
    for stop in (stops,) if isinstance(stops, str) else stops:
        text = text.partition(stop)[0] if stop else text
    limit = parameters.get("max_completion_tokens") or parameters.get("max_tokens")
    if limit is not None and len(text.encode()) > limit * 4:
        return text.encode()[: limit * 4].decode(errors="ignore"), "length"
    return text, "stop"
