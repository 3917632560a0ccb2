"""Both eras of MCP over streamable HTTP, by the SDK's low-level server around what agentrt offers.

Imports the SDK, which takes a good part of a second: `loading` imports this file when the first request comes.
"""

import asyncio
import base64
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Self

import mcp_types as types
import structlog
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp.shared.exceptions import MCPError
from sse_starlette import sse

from agentrt import __version__
from agentrt.kernel import AgentrtError, Principal

from .answer import Answer, Emit, said
from .caller import GONE, MOST_SESSIONS, Levels, Reporter, gone_of, is_stateful, session_of, who_of
from .content import result_of, tools_of
from .offers import Offers
from .prompts import ARGUMENT, DESCRIPTION, NAME
from .telling import Telling

log = structlog.get_logger()

INSTRUCTIONS = (
    "Code runs in an isolated sandbox of your own; `session` names another one. Files of the sandbox are resources "
    "(workspace:///PATH). Tools named agent__NAME ask an agent, which may use tools itself."
)
_RESOURCE_NOT_FOUND = -32002  # of the revisions with sessions; later ones call it invalid params
_SETTLE_S = 1.0
_TELL_S = 1.0


class _Server(Server[Any]):
    def create_initialization_options(self, *args: Any, **kwargs: Any) -> Any:
        return super().create_initialization_options(NotificationOptions(tools_changed=True))


class Endpoint:
    """An async context manager, to be left by the task that entered it. `handle` answers requests meanwhile."""

    def __init__(self, offers: Offers, *, max_body_bytes: int) -> None:
        self._offers = offers
        self._changes = InMemorySubscriptionBus()
        self._listening = ListenHandler(self._changes)
        self._levels = Levels()
        self._sessions: OrderedDict[str, Any] = OrderedDict()
        self._calls = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._manager = StreamableHTTPSessionManager(
            self._server(), max_request_body_size=max_body_bytes, max_sessions=MOST_SESSIONS
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
            on_subscriptions_listen=self._listening,
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

        async def receive_and_look() -> Any:
            message = await receive()
            if message["type"] == "http.disconnect":
                gone.set()
            return message

        # the server below leaves the white space around values, which belongs to none of them
        headers = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        token = AccessToken(token="", client_id=who.tenant, subject=who.user, scopes=[])
        await self._manager.handle_request(
            {**scope, "headers": headers, "user": AuthenticatedUser(token), GONE: gone}, receive_and_look, send
        )

    async def tools_changed(self) -> None:
        """Tell whoever listens that the list of tools is another one now."""
        await self._changes.publish(ToolsListChanged())
        async with asyncio.TaskGroup() as group:
            for session in list(self._sessions.values()):
                group.create_task(_tell_changed(session), name="tell that tools changed")

    async def _begun(self, ctx: Any, params: types.NotificationParams) -> None:
        self._sessions[session_of(ctx)] = ctx.session
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)

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
            text = await self._offers.prompts.system_prompt(who_of(ctx), (params.arguments or {}).get("agent"))
        except AgentrtError as exc:
            raise _failure(exc, ctx) from exc
        message = types.PromptMessage(role="user", content=types.TextContent(text=text))
        return types.GetPromptResult(description=DESCRIPTION, messages=[message])

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
    sse._get_shutdown_state().watcher_started = True  # pyright: ignore[reportPrivateUsage]
