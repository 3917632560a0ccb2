"""One live session with a server: opened, listed, called, watched. When it breaks it is gone; a new one is opened."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio

from agentrt import __version__
from agentrt.kernel import UpstreamFailed, supervised
from agentrt.tools import ToolTimedOut, ToolUnavailable

from .listing import repaired
from .sdk import Sdk, tls
from .target import StdioTarget, Target
from .voice import Stderr

IDEMPOTENCY_KEY = "agentrt/idempotency-key"

_MOST_PAGES = 100
_REFUSED = {"Server returned an error response": True, "Session terminated": False, "Not Found": False}
_LISTEN_AGAIN_S = 1.0

Progress = Callable[[float, float | None, str | None], Awaitable[None]]


class BadAnswer(UpstreamFailed):
    """The server answered, but not with a result."""

    default_code = "bad_answer"


class _Wire:
    """The SDK's dispatcher, which repairs listings before the SDK judges them and says when the other side is gone."""

    def __init__(self, inner: Any, on_lost: Callable[[], None]) -> None:
        self._inner = inner
        self._on_lost = on_lost

    async def send_raw_request(self, method: str, params: Mapping[str, Any] | None, opts: Any = None) -> dict[str, Any]:
        raw = await self._inner.send_raw_request(method, params, opts)
        if method == "tools/list":
            return repaired(raw)
        if method == "tools/call" and raw.get("resultType", "complete") == "complete":
            return {**raw, "resultType": "complete", "content": raw.get("content") or []}
        return raw

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: Any = None) -> None:
        await self._inner.notify(method, params, opts)

    async def run(
        self,
        on_request: Any,
        on_notify: Any,
        on_notify_intercept: Any = None,
        *,
        task_status: Any = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        try:
            await self._inner.run(on_request, on_notify, on_notify_intercept, task_status=task_status)
        finally:
            self._on_lost()


class Link:
    """A session that was negotiated. `lost` is set once it is of no more use, `changed` when its tools may be others."""

    def __init__(self, sdk: Sdk, on_lost: Callable[["Link"], None]) -> None:
        self._sdk, self._on_lost = sdk, on_lost
        self.session: Any = None
        self.lost = asyncio.Event()
        self.changed = asyncio.Event()

    @property
    def protocol(self) -> str:
        return self.session.protocol_version or ""

    @property
    def server(self) -> str:
        """Name and version as the server tells them, empty where it does not."""
        info = self.session.server_info
        return f"{info.name} {info.version}".strip() if info else ""

    def give_up(self) -> None:
        """Let nobody use this link any more."""
        self.lost.set()
        self._on_lost(self)

    async def tools(self) -> list[Any]:
        """All tools, over all pages."""
        found: dict[str, Any] = {}
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            try:
                page = await self.session.list_tools(params=self._sdk.types.PaginatedRequestParams(cursor=cursor))
            except self._sdk.errors.MCPError as exc:
                if exc.code == self._sdk.types.METHOD_NOT_FOUND and cursor is None and exc.message not in _REFUSED:
                    return []
                raise
            found.update({tool.name: tool for tool in page.tools})
            cursor = page.next_cursor
            if not cursor:
                break
        return list(found.values())

    async def prompt(self, name: str, *, timeout_s: float) -> str:
        """The text of a prompt: its messages one after the other. BadAnswer, ToolTimedOut; ToolUnavailable where it is gone."""
        try:
            async with asyncio.timeout(timeout_s):
                found = await self.session.get_prompt(name)
        except TimeoutError as exc:
            raise ToolTimedOut(f"the server did not answer within {timeout_s:.3g} s") from exc
        except self._sdk.errors.MCPError as exc:
            if exc.code != self._sdk.types.CONNECTION_CLOSED and exc.message not in _REFUSED:
                raise BadAnswer(f"the server refused: {exc.message}") from exc
            self.give_up()
            raise ToolUnavailable("the server went away", sent=True) from exc
        except (RuntimeError, ValueError) as exc:
            raise BadAnswer("the server answered with something that is not a prompt") from exc
        texts = [message.content.text for message in found.messages if message.content.type == "text"]
        if not any(texts):
            raise BadAnswer("the server answered with a prompt that has no text")
        return "\n\n".join(texts)

    async def call(self, tool: str, arguments: dict[str, Any], *, timeout_s: float, key: str, on_progress: Progress) -> Any:
        """The server's CallToolResult. ToolUnavailable, ToolTimedOut; BadAnswer where it refused or answered nonsense."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self.session.call_tool(
                    tool, arguments, progress_callback=on_progress, meta={IDEMPOTENCY_KEY: key} if key else None
                )
        except TimeoutError as exc:
            raise ToolTimedOut(f"the tool did not answer within {timeout_s:.3g} s") from exc
        except self._sdk.errors.MCPError as exc:
            if exc.code != self._sdk.types.CONNECTION_CLOSED and exc.message not in _REFUSED:
                raise BadAnswer(f"the server refused the call: {exc.message}") from exc
            self.give_up()
            sent = _REFUSED.get(exc.message, True)
            raise ToolUnavailable("the server went away during the call", sent=sent) from exc
        except RuntimeError as exc:
            raise BadAnswer("the server asked for input in the middle of the call, which is not offered") from exc
        except ValueError as exc:
            raise BadAnswer("the server answered with something that is not a tool result") from exc

    async def listen(self) -> None:
        """Set `changed` whenever a server of the stateless protocol says so; returns where it cannot say it."""
        while True:
            try:
                async with self._sdk.subscriptions.listen(self.session, tools_list_changed=True) as events:
                    self.changed.set()  # nobody told us of what happened before
                    async for _ in events:
                        self.changed.set()
            except self._sdk.subscriptions.SubscriptionLost:
                pass
            except (self._sdk.subscriptions.ListenNotSupportedError, self._sdk.errors.MCPError):
                return
            await asyncio.sleep(_LISTEN_AGAIN_S)

    async def heard(self, message: Any) -> None:
        """A notification of an older server, or a fault of its transport."""
        if isinstance(message, self._sdk.types.ToolListChangedNotification):
            self.changed.set()


@asynccontextmanager
async def open_link(target: Target, stderr: Stderr, sdk: Sdk, on_lost: Callable[[Link], None]) -> AsyncIterator[Link]:
    """Start or call the server and negotiate. To be left by the task that entered it.

    `on_lost` is called as soon as the other side is gone. Failures of the transport, also later ones, leave the block as an
    ExceptionGroup.
    """
    link = Link(sdk, on_lost)
    async with AsyncExitStack() as stack:
        read, write = await _streams(stack, target, stderr, sdk)
        inner = sdk.dispatcher.JSONRPCDispatcher(read, write, on_stream_exception=_note_in(stderr))
        link.session = await stack.enter_async_context(
            sdk.session.ClientSession(
                dispatcher=_Wire(inner, link.give_up),
                message_handler=link.heard,
                client_info=sdk.types.Implementation(name="agentrt", version=__version__),
            )
        )
        await _negotiate(link.session, sdk)
        yield link


async def _streams(stack: AsyncExitStack, target: Target, stderr: Stderr, sdk: Sdk) -> tuple[Any, Any]:
    if isinstance(target, StdioTarget):
        program, *arguments = supervised([target.command, *target.args])
        parameters = sdk.stdio.StdioServerParameters(command=program, args=arguments, env=target.env, cwd=target.cwd)
        end = stack.enter_context(stderr.pipe())
        streams = await stack.enter_async_context(sdk.stdio.stdio_client(parameters, errlog=end))
        end.close()  # the process has its own; ours would hide that it closed it
        return streams
    timeout = sdk.httpx.Timeout(30.0, read=None)  # a stream of events may be silent; calls have time limits of their own
    limits = sdk.httpx.Limits(max_connections=None)
    client = sdk.httpx.AsyncClient(headers=target.headers, timeout=timeout, limits=limits, verify=tls())
    http = await stack.enter_async_context(client)
    return await stack.enter_async_context(sdk.http.streamable_http_client(target.url, http_client=http))


async def _negotiate(session: Any, sdk: Sdk) -> None:
    """The stateless protocol where the server knows it, else the handshake of the older ones."""
    with contextlib.suppress(sdk.errors.MCPError, ValueError, RuntimeError):
        await session.discover()
        return
    await session.initialize()


def _note_in(stderr: Stderr) -> Callable[[Exception], Awaitable[None]]:
    async def note(fault: Exception) -> None:
        stderr.note(f"[agentrt] not an MCP message on standard output: {type(fault).__name__}")

    return note
