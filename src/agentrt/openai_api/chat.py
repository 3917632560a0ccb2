"""`POST /v1/chat/completions`: always a run, answered whole or as it happens."""

import hashlib
import time
from typing import Any

import msgspec
from litestar.types import Receive, Scope, Send

from agentrt.agents import AgentSpec, SessionRule
from agentrt.events import CallerAsk
from agentrt.kernel import Invalid, Principal, TooLarge
from agentrt.providers import Choice, Providers, Wanted, forces_call
from agentrt.runs import RunService, StartRun
from agentrt.tools import ToolBox

from .answers import Answering, answer_whole, stream_answer
from .functions import refuse_collisions, refuse_impossible_choice
from .hangup import HangUps
from .headers import Headers
from .naming import Names, Target, among_own
from .parameters import ADVISORY_OF, Rules, settle, unsupported
from .request import ChatRequest, read_request


class Chat:
    """An ASGI application for one path; whoever mounts it has put the Principal into `scope["state"]["who"]`."""

    def __init__(
        self,
        runs: RunService,
        names: Names,
        providers: Providers,
        tools: ToolBox,
        hangups: HangUps,
        *,
        max_body_bytes: int,
        heartbeat_s: float,
    ) -> None:
        self._runs, self._names, self._providers, self._tools = runs, names, providers, tools
        self._hangups = hangups
        self._max_body_bytes, self._heartbeat_s = max_body_bytes, heartbeat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        headers = Headers(scope["headers"])
        raw = await self._read_body(headers, receive)
        request = read_request(raw)
        who: Principal = scope["state"]["who"]
        if request.user and not who.run:
            who = msgspec.structs.replace(who, user=request.user)
        goes_on_alone = headers.goes_on_alone and not who.run
        command = await self._command(who, request, headers, raw)
        live = await self._runs.start(who, command)

        async def cancel() -> None:
            await self._runs.cancel(who, live.id, "disconnect")

        answering = Answering(
            live=live,
            model=request.model,
            began=began,
            caller_tools=tuple(tool.name for tool in command.ask.tools),
            ignored=command.ignored,
            usage=request.include_usage,
            events=headers.wants_events,
            heartbeat_s=self._heartbeat_s,
        )
        gone = None if goes_on_alone or live.replayed else cancel
        answer = stream_answer if request.stream else answer_whole
        await answer(answering, self._hangups, gone, receive, send)

    async def _read_body(self, headers: Headers, receive: Receive) -> bytes:
        """The whole body; Invalid where it is not JSON by its own account, TooLarge past the limit."""
        if headers.text(b"content-type").partition(";")[0].strip().lower() != "application/json":
            raise Invalid("Send the request as application/json.", code="unsupported_media_type")
        if (announced := headers.text(b"content-length")).isdigit() and int(announced) > self._max_body_bytes:
            raise self._too_large()
        message: Any = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            return body
        pieces, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > self._max_body_bytes:
                raise self._too_large()
        return b"".join(pieces)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The request body is larger than {self._max_body_bytes} bytes.", code="request_too_large")

    async def _command(self, who: Principal, request: ChatRequest, headers: Headers, raw: bytes) -> StartRun:
        asking = self._runs.agent_of_children(who) if who.run else None
        target = self._names.find(request.model) if asking is None else among_own(asking, request.model, self._providers.resolve)
        agent = target.agent
        ask, ignored = await self._ask(who, request, target)
        rule = SessionRule() if agent is None else agent.session
        # what code asks belongs to its run's session, and to no other that it could name
        session, source = (None, "header") if who.run else headers.session(rule, request.metadata, request.user)
        key = headers.text(b"idempotency-key")
        return StartRun(
            agent=None if agent is None else agent.name,
            model=target.model,
            passthrough=agent is None,
            messages=request.messages,
            session_id=session,
            session_source=source,
            ask=ask,
            metadata=request.metadata,
            ignored=ignored,
            idempotency_key=f"chat:{key}" if key else "",
            body_hash=hashlib.sha256(raw).hexdigest() if key else "",
        )

    async def _ask(self, who: Principal, request: ChatRequest, target: Target) -> tuple[CallerAsk, tuple[str, ...]]:
        """The caller's share of the model request, and what was dropped of it with notice."""
        ignored = request.ignored + target.ignored
        named = any(message.name and message.role != "tool" for message in request.messages)
        if not (request.parameters or request.unknown or request.tools or named):
            return CallerAsk(), ignored
        first = self._asked_first(target)
        taken, dropped = settle(request.parameters, request.unknown, self._rules(target, first))
        strict = any(tool.strict for tool in request.tools)
        dropped += self._left_out(target, first, Wanted(parameters=taken, strict=strict, named=named))
        choice = taken.get("tool_choice")
        if request.tools or choice is not None:
            agent = target.agent
            own = await self._own_tools(who, agent)
            if agent is not None:
                refuse_collisions(request.tools, own, agent.name)
            offered = own | {tool.name for tool in request.tools}
            if choice is not None and not self._possible(choice, offered, target, first):
                del taken["tool_choice"]
                dropped = (*dropped, "tool_choice")
        return CallerAsk(parameters=taken, tools=request.tools), ignored + dropped

    def _left_out(self, target: Target, first: Choice, wanted: Wanted) -> tuple[str, ...]:
        """What the model leaves out. Invalid names it where the agent says that such things are refused."""
        names = self._providers.unheeded(first, wanted)
        if names and target.agent is not None and target.agent.unsupported == "error":
            raise unsupported(names[0], f"{first.name} cannot take it")
        return names

    async def _own_tools(self, who: Principal, agent: AgentSpec | None) -> set[str]:
        return set() if agent is None or not agent.tools else set((await self._tools.offer(agent, who, agent.mode)).tools)

    def _possible(self, choice: Any, offered: set[str], target: Target, first: Choice) -> bool:
        """Whether the choice can be had. Invalid where it cannot, unless the agent says that such things are dropped."""
        drops = target.agent is not None and target.agent.unsupported == "drop"
        try:
            refuse_impossible_choice(choice, offered)
        except Invalid:
            if not drops:
                raise
            return False
        # without `drop` the run itself is refused, which knows all the models that may be asked
        return not drops or not forces_call(choice) or self._providers.can_force(first)

    def _rules(self, target: Target, first: Choice) -> Rules:
        agent = target.agent
        wire = self._providers.wire(first.provider)
        advisory = ADVISORY_OF.get(wire, ())
        if agent is None:
            return Rules(advisory=advisory, forwards_unknown=wire in ("openai", "openai_responses"))
        return Rules(advisory=advisory, locked=agent.locked, unsupported=agent.unsupported)

    def _asked_first(self, target: Target) -> Choice:
        if target.model is None:
            assert target.agent is not None, "a pass-through has a model"
            return self._providers.choose(target.agent.entries)
        found = self._providers.resolve(target.model)
        assert found is not None, "the name was found a moment ago"
        return found
