"""Answers in the form that was asked for, whoever gives them: each is looked at before it counts, and asked for again.

What a provider enforces by itself streams as it comes. Any other text is held back until the whole is there and has the form:
what was shown cannot be taken back everywhere.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
from msgspec.structs import replace

from agentrt.agents import BadForm, Form, form_of
from agentrt.events import TextDelta
from agentrt.messages import Message, Text, ToolCall, ToolResult, says

from .abilities import Abilities
from .client import Chunk, Done, ModelAsk, ModelClient, Retrying
from .entry import ProviderEntry
from .errors import ModelFailure
from .form_in_words import form_in_words
from .form_kept import keeps_form, knows_forms

REPAIRS = 2
# What a JSON value begins with.
_JSON = tuple('{["-0123456789tfn')
FINISH_TASK = "finish_task"
UNSATISFIED = "response_format_unsatisfied"


def in_form(client: ModelClient, entry: ProviderEntry, known: Callable[[], Abilities], ask: ModelAsk) -> ModelClient:
    """`client`, held to the form that `ask` wants its answer in; itself where that is free text.

    ModelFailure `invalid_request` for a schema that can be none.
    """
    wanted = ask.parameters.get("response_format")
    if wanted is None:
        return client
    try:
        form = form_of(wanted)
    except BadForm as exc:
        raise ModelFailure(f"the schema of response_format cannot be used: {exc}", code="invalid_request") from exc
    return client if form is None else InForm(client, entry, known(), form)


class InForm:
    """Asks again, at most `REPAIRS` times, and says what was wrong, where an answer does not have the form.

    An answer with tool calls is not the last one; where a task is ended by `finish_task`, its result is the answer. An
    answer that was cut, or refused, is handed on as such. ModelFailure `response_format_unsatisfied` where none has the form.
    """

    def __init__(self, client: ModelClient, entry: ProviderEntry, known: Abilities, form: Form) -> None:
        self._client, self._entry, self._known, self._form = client, entry, known, form

    async def stream(self, ask: ModelAsk) -> AsyncGenerator[list[Chunk]]:
        kept = keeps_form(self._entry, self._known, ask)
        newest = ask.messages[-1] if ask.messages else None
        prefix = newest.text if newest is not None and newest.role == "assistant" else ""
        asked = ask if knows_forms(self._entry.wire, self._known) else _in_words(ask)
        for attempt in range(1, REPAIRS + 2):
            held = not (kept or _autonomous(ask))
            hold = _Hold(self._judge(ask, prefix), held=held, anything=bool(prefix) or _autonomous(ask))
            began = time.perf_counter()
            async with aclosing(self._client.stream(asked)) as chunks_read:
                async for chunks in chunks_read:
                    if seen := hold.see(chunks):
                        yield seen
            if hold.fault is None:
                return
            failed = self._failed(hold, attempt, (time.perf_counter() - began) * 1000)
            if prefix or attempt > REPAIRS:
                raise ModelFailure(
                    f"the answer does not have the form that was asked for: {hold.fault}",
                    code=UNSATISFIED,
                    usage=hold.done.usage,
                )
            yield [failed]
            asked = _once_more(asked, hold.done.message, hold.fault)

    def _judge(self, ask: ModelAsk, prefix: str) -> "Judge":
        autonomous = _autonomous(ask)

        def judge(done: Done) -> tuple[Done, str | None]:
            if done.refused:
                return replace(done, stop="content_filter"), None
            if done.stop not in ("stop", "tool_calls"):
                return done, None
            if (ending := _ending(done.message)) is not None:
                return done, self._form.fault_in(_result_of(ending))
            if done.message.calls or autonomous:
                return done, None
            text = done.message.text
            found = self._form.found_in(text)
            if found is None:
                return done, self._form.fault_in(prefix + text)
            return (done if found == text else _saying(done, found)), None

        return judge

    def _failed(self, hold: "_Hold", attempt: int, spent_ms: float) -> Retrying:
        return Retrying(
            attempt=attempt,
            code="schema_mismatch",
            message=f"the answer does not have the form that was asked for: {hold.fault}",
            wait_s=0.0,
            duration_ms=spent_ms,
            voids=hold.shown,
            usage=hold.done.usage,
        )


Judge = Callable[[Done], tuple[Done, str | None]]
"""An answer as it is to be handed on, and what is wrong with it."""


class _Hold:
    """Hands on what one attempt streams, its text only once the whole was found good, unless it is not to be `held`; then
    that is not, which begins as JSON does, or `anything`."""

    def __init__(self, judge: Judge, *, held: bool, anything: bool) -> None:
        self._judge, self._held = judge, held
        self._undecided = not (held or anything)
        self.shown = False
        self.fault: str | None = None
        self.done: Done

    def see(self, chunks: list[Chunk]) -> list[Chunk]:
        """What of these is to be handed on now."""
        if self._undecided:
            self._decide(chunks)
        seen: list[Chunk] = [c for c in chunks if not isinstance(c, TextDelta | Done)] if self._held else chunks
        last = chunks[-1]
        if not isinstance(last, Done):
            self.shown = self.shown or any(not isinstance(chunk, Retrying) for chunk in seen)
            return seen
        self.done, self.fault = self._judge(last)
        if self.fault is not None:
            seen = [chunk for chunk in seen if not isinstance(chunk, Done)]
            self.shown = self.shown or bool(seen)
            return seen
        if not self._held:
            return [*seen[:-1], self.done]
        if text := self.done.message.text:
            seen.append(TextDelta(text=text))
        return [*seen, self.done]

    def _decide(self, chunks: list[Chunk]) -> None:
        """A provider that keeps to forms and yet begins with something else breaks its word: nothing of that is shown."""
        begins = next((chunk.text for chunk in chunks if isinstance(chunk, TextDelta)), None)
        if begins is not None:
            self._undecided = False
            self._held = not begins.lstrip().startswith(_JSON)


def _autonomous(ask: ModelAsk) -> bool:
    """Whether what the model says is no answer until it ends its task."""
    return any(tool.id == FINISH_TASK for tool in ask.tools)


class _Finish(msgspec.Struct):
    result: str = ""


def _result_of(ending: ToolCall) -> str:
    try:
        return msgspec.json.decode(ending.arguments, type=_Finish).result
    except msgspec.DecodeError:
        return ""


def _ending(message: Message) -> ToolCall | None:
    return next((call for call in message.calls if call.name == FINISH_TASK), None)


def _saying(done: Done, text: str) -> Done:
    """The same answer with this text instead of its own."""
    rest = [part for part in done.message.parts if not isinstance(part, Text)]
    return replace(done, message=replace(done.message, parts=(*rest, Text(text))))


def _in_words(ask: ModelAsk) -> ModelAsk:
    """The form in words, for a model that is known to have no parameter for it."""
    words = form_in_words(ask.parameters["response_format"])
    free: dict[str, Any] = {name: value for name, value in ask.parameters.items() if name != "response_format"}
    return replace(ask, system=(*ask.system, words), parameters=free)


def _once_more(ask: ModelAsk, answer: Message, fault: str) -> ModelAsk:
    """The question, its answer, and what is wrong with that; none of it stays in the conversation."""
    wanted = form_in_words(ask.parameters.get("response_format"))
    told = f"This does not have the form that was asked for. {fault} {wanted}".strip()
    if answer.calls:
        results = [ToolResult(call.id, (Text(told),), is_error=True) for call in answer.calls]
        said = tuple(Message("tool", (result,)) for result in results)
    else:
        said = (says("user", told),)
    before = answer if answer.parts else says("assistant", "(nothing)")
    return replace(ask, messages=(*ask.messages, before, *said), first_call=(ask.first_call + len(answer.calls)) % 1000)
