"""From what is asked to how a run begins: which agent, model and session, what is new, what the prompt says."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec.structs import replace

from agentrt.agents import AgentSpec, ModelEntry, RunVars, StaticVars, ToolLine, render_context
from agentrt.events import RunQueued, RunStarted
from agentrt.files import Blobs, ImageFetcher
from agentrt.kernel import Clock, Invalid, NotFound, Principal, body_of, is_id
from agentrt.messages import Message, ToolResult
from agentrt.providers import Choice, ModelAsk, Providers, Request
from agentrt.sessions import SessionService, Target
from agentrt.skills import Skills
from agentrt.tools import Offer, ToolBox

from .attachments import keep_attachments, keep_images
from .catalogue import CHILD_VERSION, PASSTHROUGH, PASSTHROUGH_VERSION, Catalogue
from .drive import NO_TOOLS
from .prompt_source import PromptSource
from .views import StartRun


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A request with its names looked up. `from_chain`: nobody named a model, so the agent's chain says who answers; `choice`
    is then only its best guess until the whole conversation is known."""

    spec: AgentSpec
    version: str
    choice: Choice
    from_chain: bool = False
    target: Target
    command: StartRun


class Acceptance:
    def __init__(
        self,
        catalogue: Catalogue,
        providers: Providers,
        sessions: SessionService,
        box: ToolBox,
        blobs: Blobs,
        fetcher: ImageFetcher,
        clock: Clock,
        skills: Skills,
        prompts: PromptSource,
    ) -> None:
        self._catalogue, self._providers, self._sessions = catalogue, providers, sessions
        self._box, self._blobs, self._fetcher, self._clock = box, blobs, fetcher, clock
        self._skills, self._prompts = skills, prompts

    async def look_up(self, who: Principal, command: StartRun, child: AgentSpec | None = None) -> Wanted:
        """Invalid or NotFound where the request names what is not there, or holds no message. `child`: who answers for the
        code that asks; other models than those of its chain are not there for it."""
        if not command.messages:
            raise Invalid("messages must not be empty", param="messages", code="empty_messages")
        if child is not None:
            spec, version = child, CHILD_VERSION
        elif command.passthrough:
            spec, version = PASSTHROUGH, PASSTHROUGH_VERSION
        else:
            found = self._catalogue.find(command.agent)
            spec, version = found.spec, found.version
        choice = self._providers.choose(spec.entries) if command.model is None else self._named(command.model)
        if child is not None and choice.name not in child.chain:
            raise NotFound(f"the model {choice.name} is none of this agent's", code="model_not_found", param="model")
        if spec.budgets.cost is not None:
            await self._refuse_unpriced(spec.entries if command.model is None else (choice.name,))
        target = Target()
        if command.session_id:
            target = await self._sessions.target(
                who, command.session_id, command.session_source, spec.name, spec.session.idle_timeout
            )
        return Wanted(
            spec=spec,
            version=version,
            choice=choice,
            from_chain=command.model is None,
            target=target,
            command=command,
        )

    async def _refuse_unpriced(self, chain: Sequence[str | ModelEntry]) -> None:
        """Invalid where a cost budget could not be kept."""
        if unknown := await self._providers.unpriced(chain):
            raise Invalid(
                f"the agent has a cost budget, but the price of {', '.join(unknown)} is not known: "
                "set it under `prices` in the settings, or lift the budget",
                param="model",
                code="price_unknown",
            )

    def _named(self, model: str) -> Choice:
        choice = self._providers.resolve(model)
        if choice is None:
            raise NotFound(f"the model {model[:100]!r} is not known here", code="model_not_found", param="model")
        return choice

    def _first(
        self,
        who: Principal,
        run_id: str,
        wanted: Wanted,
        messages: tuple[Message, ...],
        offer: Offer = NO_TOOLS,
        since: int = 0,
        sent: int = 0,
    ) -> Choice:
        """Which model a run with this conversation asks first. Invalid where none takes it, or what it begins with; the
        caller's new messages begin at `since`, and stood at `sent` in what it sent."""
        command, choice = wanted.command, wanted.choice
        ask = ModelAsk(
            model=choice.model,
            messages=messages,
            tools=offer.defs,
            caller_tools=command.ask.tools,
            parameters=_parameters(wanted),
            user=who.user,
        )
        request = Request(ask=ask, metadata=command.metadata, key=run_id, since=since, sent=sent)
        if wanted.from_chain:
            return self._providers.choose(wanted.spec.entries, request)
        self._providers.refuse_unfit(choice, request)
        return choice

    async def queue(self, who: Principal, run_id: str, wanted: Wanted, reason: Any) -> RunQueued:
        """What is written of a run that must wait. Invalid for what it could not be begun with either."""
        messages = await keep_attachments(self._blobs, who, run_id, wanted.command.messages)
        self._first(who, run_id, wanted, messages)
        return RunQueued(reason=reason, input=messages, head_run=wanted.target.head_run, **_accepted(who, wanted))

    async def start(self, who: Principal, run_id: str, wanted: Wanted) -> tuple[RunStarted, tuple[Message, ...]]:
        """How the run begins now, and what was said before it."""
        command, target = wanted.command, wanted.target
        messages = await keep_attachments(self._blobs, who, run_id, command.messages)
        base_run, base_length, new = await self._place(who, target.head_run, messages)
        history = await self._sessions.history(base_run, base_length) if base_run else ()
        mode = command.mode or wanted.spec.mode
        offer = await self._box.offer(wanted.spec, who, mode)
        sent = len(messages) - len(new)
        wanted = replace(wanted, choice=self._first(who, run_id, wanted, (*history, *new), offer, len(history), sent))
        if self._providers.wants_bytes(wanted.choice):
            new = await keep_images(self._blobs, self._fetcher, who, run_id, new, sent)
        system, notices = await self._prompt(who, wanted, offer, base_run)
        started = RunStarted(
            **_accepted(who, wanted),
            input=new,
            base_run=base_run,
            base_length=base_length,
            system=system,
            notices=notices,
            context=self._context(who, run_id, wanted, offer),
        )
        return started, history

    async def from_queue(
        self, who: Principal, run_id: str, queued: RunQueued, spec: AgentSpec
    ) -> tuple[RunStarted, tuple[Message, ...]]:
        """The same for a run that waited: its session may have moved since."""
        target = Target(id=queued.session_id, key=queued.session_key)
        if queued.session_id:
            with suppress(NotFound):  # nobody has used that name yet
                session = await self._sessions.find(who, queued.session_id)
                target = replace(target, head_run=session.head_run)
        command = StartRun(
            messages=queued.input,
            mode=queued.mode,
            parent_run_id=queued.parent_run_id,
            ask=queued.ask,
            metadata=queued.metadata,
            ignored=queued.ignored,
            idempotency_key=queued.idempotency_key,
            body_hash=queued.body_hash,
        )
        choice = Choice(queued.provider, queued.model, queued.skipped_models)
        wanted = Wanted(
            spec=spec,
            version=queued.agent_version,
            choice=choice,
            from_chain=queued.from_chain,
            target=target,
            command=command,
        )
        return await self.start(who, run_id, wanted)

    async def history(self, started: RunStarted) -> tuple[Message, ...]:
        """What was said before a run that has begun."""
        return await self._sessions.history(started.base_run, started.base_length) if started.base_run else ()

    async def _place(
        self, who: Principal, head_run: str | None, messages: tuple[Message, ...]
    ) -> tuple[str | None, int, tuple[Message, ...]]:
        if (asked := await self._answered_run(who, messages)) is not None:
            run_id, at = asked
            return run_id, len(await self._sessions.history(run_id)), messages[at:]
        if head_run is None:
            return None, 0, messages
        placed = await self._sessions.place(head_run, messages)
        return (head_run if placed.base_length else None), placed.base_length, placed.new

    async def _answered_run(self, who: Principal, messages: tuple[Message, ...]) -> tuple[str, int] | None:
        """The run whose calls to the caller's tools these messages answer, and where in them the answers begin.

        Our call ids carry their run's id, so the answers lead back whatever else the caller resent, or did not. Invalid
        where some of the run's calls are left unanswered.
        """
        if "tool" not in [message.role for message in messages]:
            return None
        asked_at = next((i for i in reversed(range(len(messages))) if messages[i].calls), -1)
        at = next((i for i in range(asked_at + 1, len(messages)) if messages[i].role == "tool"), None)
        if at is None:
            return None
        answered = {p.call_id for m in messages[at:] for p in m.parts if isinstance(p, ToolResult)}
        run_ids = {f"run_{body_of(id_)[:32]}" for id_ in answered}
        run_id = next(iter(run_ids))
        if len(run_ids) != 1 or not is_id("run", run_id) or not await self._sessions.owns(who, run_id):
            if asked_at < 0:
                why = f"a tool message answers {min(answered)[:64]!r}, which is no call that is known here"
                raise Invalid(why, param="messages", code="call_unknown")
            return None
        segments = (await self._sessions.part(run_id)).segments
        if missing := sorted({call.id for call in segments[-1].shown.calls} - answered):
            raise Invalid(f"the tool calls {', '.join(missing)} are not answered", param="messages", code="calls_unanswered")
        return run_id, at

    async def _prompt(self, who: Principal, wanted: Wanted, offer: Offer, base_run: str | None) -> tuple[str, tuple[str, ...]]:
        """The system prompt, and what is to be known of it. Within a session it stays as it was when the session began, as long
        as the agent is the same, unless the agent says otherwise."""
        spec = wanted.spec
        if base_run is not None and spec.refresh == "session":
            part = await self._sessions.part(base_run)
            if (part.agent, part.agent_version) == (spec.name, wanted.version):
                return part.system, ()
        told = await self._prompts.told(who, spec, StaticVars(model=wanted.choice.name, tools=_lines(offer)))
        skills = self._skills.section(spec) if spec.skills else ""
        return "\n\n".join(filter(None, (told.text, skills))), (told.notice,) if told.notice else ()

    def _context(self, who: Principal, run_id: str, wanted: Wanted, offer: Offer) -> str:
        if not wanted.spec.context:
            return ""
        known = RunVars(
            model=wanted.choice.name,
            tools=_lines(offer),
            run_id=run_id,
            now_us=self._clock.now_us(),
            user=who.user,
            session_id=wanted.target.id or "",
            metadata=wanted.command.metadata,
        )
        return render_context(wanted.spec, known)


def _lines(offer: Offer) -> tuple[ToolLine, ...]:
    return tuple(ToolLine(tool.id, tool.description) for tool in offer.defs)


def _parameters(wanted: Wanted) -> dict[str, Any]:
    """What goes with every model call: the agent's parameters, and the caller's where the agent does not lock them."""
    free = {name: value for name, value in wanted.command.ask.parameters.items() if name not in wanted.spec.locked}
    return {**wanted.spec.parameters.given, **free}


def _accepted(who: Principal, wanted: Wanted) -> dict[str, Any]:
    """What `run_queued` and `run_started` say alike."""
    command, spec = wanted.command, wanted.spec
    return {
        "tenant": who.tenant,
        "user": who.user,
        "agent": spec.name,
        "agent_version": wanted.version,
        "mode": command.mode or spec.mode,
        "model": wanted.choice.model,
        "provider": wanted.choice.provider,
        "from_chain": wanted.from_chain,
        "session_id": wanted.target.id,
        "session_key": wanted.target.key,
        "parent_run_id": command.parent_run_id,
        "ask": replace(command.ask, parameters=_parameters(wanted)),
        "metadata": command.metadata,
        "ignored": command.ignored,
        "skipped_models": wanted.choice.skipped,
        "idempotency_key": command.idempotency_key,
        "body_hash": command.body_hash,
    }
