"""Both eras of MCP over streamable HTTP, by the SDK's low-level server around what agentrt offers.

Imports the SDK, which takes a good part of a second: `loading` imports this file when the first request comes.
"""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any, Self

import mcp_types as types
import structlog
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp.shared.exceptions import MCPError
from sse_starlette import sse

from agentrt import __version__
from agentrt.kernel import AgentrtError, Principal, TooLarge

from .answer import Answer, Emit, said
from .caller import GONE, MOST_SESSIONS, Levels, Reporter, gone_of, is_stateful, session_of, who_of
from .content import result_of, tools_of
from .offers import Offers
from .prompts import ARGUMENT, DESCRIPTION, NAME
from .telling import Telling
from .visits import Visits

log = structlog.get_logger()

INSTRUCTIONS = (
    "Code runs in an isolated sandbox of your own; `session` names another one. Files of the sandbox are resources "
    "(workspace:///PATH). Tools named agent__NAME ask an agent, which may use tools itself."
)
_SESSION = b"mcp-session-id"
_RESOURCE_NOT_FOUND = -32002  # of the revisions with sessions; later ones call it invalid params
_SETTLE_S = 1.0
_TELL_S = 1.0


class _Server(Server[Any]):
    def get_capabilities(self, *args: Any, **kwargs: Any) -> types.ServerCapabilities:
        """What we tell by ourselves, in both eras: that there are other tools, and nothing of files and prompts."""
        return (
            super()
            .get_capabilities(*args, **kwargs)
            .model_copy(
                update={
                    "tools": types.ToolsCapability(list_changed=True),
                    "resources": types.ResourcesCapability(subscribe=False, list_changed=False),
                    "prompts": types.PromptsCapability(list_changed=False),
                }
            )
        )


class Endpoint:
    """An async context manager, to be left by the task that entered it. `handle` answers requests meanwhile."""

    def __init__(self, offers: Offers, *, max_body_bytes: int) -> None:
        self._offers, self._max_body_bytes = offers, max_body_bytes
        self._changes = InMemorySubscriptionBus()
        self._listening = ListenHandler(self._changes)
        self._levels = Levels()
        self._visits = Visits()
        self._calls = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._manager = StreamableHTTPSessionManager(
            self._server(), max_request_body_size=max_body_bytes, max_sessions=2 * MOST_SESSIONS
        )
        self._stack = AsyncExitStack()

    def _server(self) -> Server[Any]:
        server: Server[Any] = _Server(
            "agentrt",
            version=__version__,
            instructions=INSTRUCTIONS,
            get_tool_input_schema=lambda _: None,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._get_prompt,
            on_completion=self._complete,
            on_subscriptions_listen=self._listen,
        )
        server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, self._set_level)
        server.add_notification_handler("notifications/initialized", types.NotificationParams, self._begun)
        return server

    async def __aenter__(self) -> Self:
        _calm()
        await self._stack.enter_async_context(self._manager.run())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._listening.close()
        await self._stack.aclose()

    async def settle(self) -> None:
        """Wait, a second at most, until the calls under way are answered."""
        try:
            async with asyncio.timeout(_SETTLE_S):
                await self._quiet.wait()
        except TimeoutError:
            log.warning("mcp_server.calls_cut_off", calls=self._calls)

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """One request. `scope["state"]["who"]` is who asks: a session is of use to who opened it only."""
        who: Principal = scope["state"]["who"]
        gone = asyncio.Event()
        # the server below leaves the white space around values, which belongs to none of them
        headers = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        session = _first(headers, _SESSION)

        async def receive_and_look() -> Any:
            message = await receive()
            if message["type"] == "http.disconnect":
                gone.set()
            return message

        async def look_and_send(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                self._note(scope["method"], session, _first(message["headers"], _SESSION), who)
            await send(message)

        length = _first(headers, b"content-length")
        if length.isdigit() and int(length) > self._max_body_bytes:
            raise TooLarge(f"the request body is larger than {self._max_body_bytes} bytes", code="request_too_large")
        if not session and len(self._visits) >= MOST_SESSIONS:
            await self._make_room()
        with self._visits.using(session, who):
            asked = {**scope, "headers": headers, "user": _user_of(who), GONE: gone}
            await self._manager.handle_request(asked, receive_and_look, look_and_send)

    def _note(self, method: str, session: str, opened: str, who: Principal) -> None:
        if opened and not session:
            self._visits.begin(opened, who)
        elif method == "DELETE":
            self._visits.end(session)

    async def _make_room(self) -> None:
        """End a session as if its client had: nobody may keep the others out by never doing so."""
        found = self._visits.idlest()
        if found is None:
            return
        session, who = found
        self._visits.end(session)
        headers = [(_SESSION, session.encode("latin-1"))]
        scope = {"type": "http", "method": "DELETE", "path": "/mcp", "query_string": b"", "headers": headers}
        await self._manager.handle_request({**scope, "user": _user_of(who)}, _nothing_more, _nobody_listens)

    async def tools_changed(self) -> None:
        """Tell whoever listens that the list of tools is another one now."""
        await self._changes.publish(ToolsListChanged())
        async with asyncio.TaskGroup() as group:
            for connection in self._visits.connections():
                group.create_task(_tell_changed(connection), name="tell that tools changed")

    async def _begun(self, ctx: Any, params: types.NotificationParams) -> None:
        self._visits.connect(session_of(ctx), ctx.session)

    async def _listen(self, ctx: Any, params: types.SubscriptionsListenRequestParams) -> types.SubscriptionsListenResult:
        """Acknowledge of what was asked for what will come."""
        wanted = types.SubscriptionFilter(tools_list_changed=params.notifications.tools_list_changed)
        return await self._listening(ctx, params.model_copy(update={"notifications": wanted}))

    async def _set_level(self, ctx: Any, params: types.SetLevelRequestParams) -> types.EmptyResult:
        self._levels.set(ctx, params.level)
        return types.EmptyResult()

    # tools

    async def _list_tools(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        own = tools_of(await self._offers.tools.list(who_of(ctx)))
        return types.ListToolsResult(tools=own + tools_of(self._offers.agents.list(), open_world=True))

    async def _call_tool(self, ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        who, arguments = who_of(ctx), params.arguments or {}

        def work(emit: Emit) -> Awaitable[Answer]:
            return self._offers.call(who, params.name, arguments, emit)

        self._calls += 1
        self._quiet.clear()
        try:
            done = await _carried_out(work, Reporter(ctx, self._levels), gone_of(ctx))
        finally:
            self._calls -= 1
            if not self._calls:
                self._quiet.set()
        if isinstance(done, AgentrtError):  # an unknown tool, too: so a model hears of it, and of those that there are
            done = said(done.message)
        return await result_of(done, who, self._offers.blobs)

    # files

    async def _list_resources(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        try:
            found, after = await self._offers.files.list(who_of(ctx), params.cursor if params else None)
        except AgentrtError as exc:
            raise _failure(exc, ctx) from exc
        resources = [types.Resource(uri=file.uri, name=file.path, mime_type=file.media_type, size=file.size) for file in found]
        return types.ListResourcesResult(resources=resources, next_cursor=after)

    async def _list_templates(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListResourceTemplatesResult:
        own = types.ResourceTemplate(
            uri_template="workspace:///{+path}", name="workspace-file", description="A file of your workspace."
        )
        named = types.ResourceTemplate(
            uri_template="workspace://{session}/{+path}",
            name="session-file",
            description="A file of the workspace that the tools' argument `session` names.",
        )
        return types.ListResourceTemplatesResult(resource_templates=[own, named])

    async def _read_resource(self, ctx: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        uri = str(params.uri)
        try:
            found = await self._offers.files.read(who_of(ctx), uri)
        except AgentrtError as exc:
            raise _failure(exc, ctx, uri) from exc
        return types.ReadResourceResult(contents=[_contents(uri, found.media_type, found.data, found.text)])

    # prompts

    async def _list_prompts(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        agent = types.PromptArgument(name="agent", description=ARGUMENT, required=False)
        return types.ListPromptsResult(prompts=[types.Prompt(name=NAME, description=DESCRIPTION, arguments=[agent])])

    async def _get_prompt(self, ctx: Any, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        if params.name != NAME:
            raise MCPError(types.INVALID_PARAMS, f"there is no prompt {params.name[:64]!r}; there is: {NAME}")
        try:
            told = await self._offers.prompts.system_prompt(who_of(ctx), (params.arguments or {}).get("agent"))
        except AgentrtError as exc:
            raise _failure(exc, ctx) from exc
        message = types.PromptMessage(role="user", content=types.TextContent(text=told.text))
        return types.GetPromptResult(description=told.notice or DESCRIPTION, messages=[message])

    async def _complete(self, ctx: Any, params: types.CompleteRequestParams) -> types.CompleteResult:
        """Names of agents, for the prompt's argument."""
        asked, names = params.argument, ()
        if params.ref.type == "ref/prompt" and params.ref.name == NAME and asked.name == "agent":
            names = self._offers.prompts.agents(asked.value)
        return types.CompleteResult(completion=types.Completion(values=list(names[:100]), total=len(names)))


async def _carried_out(
    work: Callable[[Emit], Awaitable[Answer]], reporter: Reporter, gone: asyncio.Event
) -> Answer | AgentrtError:
    """Do it, tell its output meanwhile, and stop it when the caller has gone."""
    telling = Telling(reporter.tell)
    async with asyncio.TaskGroup() as group:
        told = group.create_task(telling.run(), name="tell output")
        task = group.create_task(_done(work, telling.emit), name="tool over MCP")
        watch = group.create_task(_cancel_when(gone, task), name="watch a caller")
        await asyncio.wait([task])
        watch.cancel()
        telling.end()
        if task.cancelled():
            told.cancel()
    if task.cancelled():
        raise MCPError(types.CONNECTION_CLOSED, "the caller hung up")
    return task.result()


async def _done(work: Callable[[Emit], Awaitable[Answer]], emit: Emit) -> Answer | AgentrtError:
    try:
        return await work(emit)
    except AgentrtError as exc:
        return exc
    except Exception:  # one caller's mishap must not end the others' sessions
        log.exception("mcp_server.crashed")
        return said("the server made a mistake; its log says more")


async def _cancel_when(gone: asyncio.Event, task: asyncio.Task[Any]) -> None:
    await gone.wait()
    task.cancel()


def _first(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> str:
    """As the server below reads it, where there are several; empty where there is none."""
    return next((value.decode("latin-1") for name, value in headers if name == wanted), "")


def _user_of(who: Principal) -> AuthenticatedUser:
    return AuthenticatedUser(AccessToken(token="", client_id=who.tenant, subject=who.user, scopes=[]))


async def _nothing_more() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _nobody_listens(message: Any) -> None: ...


async def _tell_changed(session: Any) -> None:
    try:
        async with asyncio.timeout(_TELL_S):
            await session.send_tool_list_changed()
    except TimeoutError:
        log.debug("mcp_server.not_told")


def _contents(uri: str, media_type: str, data: bytes, text: str | None) -> Any:
    if text is not None:
        return types.TextResourceContents(uri=uri, mime_type=media_type, text=text)
    return types.BlobResourceContents(uri=uri, mime_type=media_type, blob=base64.b64encode(data).decode())


def _failure(exc: AgentrtError, ctx: Any, uri: str = "") -> MCPError:
    """What cannot be answered, as an error of the protocol."""
    data = {"uri": uri} if uri else None
    if exc.kind == "not_found" and uri and is_stateful(ctx):
        return MCPError(_RESOURCE_NOT_FOUND, exc.message, data)
    mine = exc.kind in ("unavailable", "upstream", "timeout")
    return MCPError(types.INTERNAL_ERROR if mine else types.INVALID_PARAMS, exc.message, data)


def _calm() -> None:
    """Keep the SDK's remarks on single requests, with ids of sessions, out of the log; and keep the library of its streams from
    leaving a task of its own on our loop, which would cut calls off at the first signal: streams end with the block."""
    for name in ("mcp.server", "sse_starlette"):
        logging.getLogger(name).setLevel(logging.ERROR)
    sse.AppStatus.disable_automatic_graceful_drain()
    sse._get_shutdown_state().watcher_started = True
