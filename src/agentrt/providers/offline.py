"""The embedded model: it needs no key and no network, answers by rules, and says plainly what it is."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice

from agentrt.events import ReasoningDelta, TextDelta, ToolCallDelta
from agentrt.messages import Message, Part, Text, Thinking, ToolCall, Usage

from .client import Chunk, Done, ModelAsk
from .errors import ModelFailure
from .estimate import tokens_asked, tokens_in
from .offline_answer import Answer, answer
from .offline_builtin import BUILT_IN
from .offline_rules import OfflineFailure, OfflineRule, OfflineRules

WHAT_IT_IS = "I am the offline model of agentrt: a fixed set of rules, not a language model."


class OfflineClient:
    """Answers by the rules of files, then by the built-in ones. `why` says why it serves, in one sentence."""

    name = "offline"

    def __init__(self, why: str, documents: Sequence[OfflineRules] = ()) -> None:
        self._about = f"{WHAT_IT_IS} {why}"
        self._rules: tuple[OfflineRule, ...] = ()
        self.set_rules(documents)

    def set_rules(self, documents: Sequence[OfflineRules]) -> None:
        """Answer by these from the next request on."""
        self._rules = (*(rule for document in documents for rule in document.rules), *BUILT_IN)

    def models(self) -> list[str]:
        """`offline`, and every model that a rule is made for by its name."""
        named = (rule.model for rule in self._rules if not set("*?[") & set(rule.model))
        return list(dict.fromkeys((self.name, *named)))

    def knows(self, model: str) -> bool:
        return model == self.name or any(rule.model != "*" and fnmatchcase(model, rule.model) for rule in self._rules)

    async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        """The answer in chunks; all at once where its rule wants no pauses."""
        said = answer(ask, self._rules, self._about)
        rule = said.rule
        shown_at_most = None if rule.fail is None else rule.fail.after
        at_once: list[Chunk] = []
        for chunk in islice(_chunks(said, ask), shown_at_most):
            if rule.delay_ms:
                await asyncio.sleep(rule.delay_ms / 1000)
                yield [chunk]
            else:
                at_once.append(chunk)
        if rule.fail is None:
            at_once.append(_done(said, ask))
        if at_once:
            yield at_once
        if rule.fail is not None:
            raise _failure(rule.fail)


def _chunks(said: Answer, ask: ModelAsk) -> Iterator[Chunk]:
    size = said.rule.chunk
    for start in range(0, len(said.reasoning), size):
        yield ReasoningDelta(text=said.reasoning[start : start + size])
    for start in range(0, len(said.text), size):
        yield TextDelta(text=said.text[start : start + size])
    for index, call in enumerate(_calls(said, ask)):
        yield ToolCallDelta(index=index, id=call.id, name=call.name, arguments=call.arguments)


def _calls(said: Answer, ask: ModelAsk) -> list[ToolCall]:
    numbered = enumerate(said.calls, ask.first_call)
    return [ToolCall(f"{ask.call_prefix}{number:03d}", name, arguments) for number, (name, arguments) in numbered]


def _done(said: Answer, ask: ModelAsk) -> Done:
    parts: list[Part] = []
    if said.reasoning:
        parts.append(Thinking(said.reasoning, "offline"))
    if said.text:
        parts.append(Text(said.text))
    parts += _calls(said, ask)
    message = Message("assistant", tuple(parts))
    return Done(message=message, usage=_usage(said, ask, message), stop=said.stop, model=ask.model)


def _usage(said: Answer, ask: ModelAsk, message: Message) -> Usage:
    if (given := said.rule.usage) is not None:
        return Usage(given.input, given.output, given.cached, given.reasoning)
    return Usage(tokens_asked(ask), tokens_in(message), estimated=True)


def _failure(fail: OfflineFailure) -> ModelFailure:
    return ModelFailure(
        fail.message, code=fail.code, status=fail.status, retryable=fail.retryable, retry_after_s=fail.retry_after_s
    )
