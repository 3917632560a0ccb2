from collections.abc import Callable

from litestar.types import ASGIApp, Message, Receive, Scope, Send

NOT_ANSWERED = 499


class CountedRequests:
    """The outermost layer: counts every request with its route's template and its status; 499 where nothing was sent."""

    def __init__(self, app: ASGIApp, count: Callable[[tuple[str, str, str]], None]) -> None:
        self._app, self._count = app, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = NOT_ANSWERED

        async def send_and_look(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_look)
        finally:
            route = scope.get("path_template") or "unmatched"
            self._count((scope["method"], str(route), str(status)))
