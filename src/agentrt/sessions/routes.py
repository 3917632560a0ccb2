from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from agentrt.http import known_query, problems
from agentrt.kernel import Principal

from .service import SessionService
from .views import CreateSession, MessagePage, SessionPage, SessionView

NOT_FOUND = problems({404: "There is no such session."})
LIVE = problems({409: "A run of the session is live, and `force` was not given."})

Erase = Callable[[Principal, str, bool], Awaitable[None]]


class SessionsController(Controller):
    """Conversations: what was said in them, and their end."""

    path = "/sessions"
    tags = ("sessions",)
    before_request = known_query

    @post(
        status_code=201, summary="Create a session", operation_id="createSession", responses=problems({409: "The id is taken."})
    )
    async def create(
        self, data: JSONBody[CreateSession], sessions: NamedDependency[SessionService], who: NamedDependency[Principal]
    ) -> SessionView:
        return await sessions.create(who, data)

    @get(summary="List sessions", operation_id="listSessions")
    async def list_sessions(
        self,
        sessions: NamedDependency[SessionService],
        who: NamedDependency[Principal],
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
        order: FromQuery[Literal["asc", "desc"]] = "desc",
        after: FromQuery[str | None] = None,
        before: FromQuery[str | None] = None,
    ) -> SessionPage:
        return await sessions.list(who, limit, order, after, before)

    @get("/{session_id:str}", summary="Show a session", operation_id="showSession", responses=NOT_FOUND)
    async def show(
        self, session_id: FromPath[str], sessions: NamedDependency[SessionService], who: NamedDependency[Principal]
    ) -> SessionView:
        return await sessions.get(who, session_id)

    @get(
        "/{session_id:str}/messages",
        summary="Read what was said in a session",
        operation_id="listMessages",
        responses=NOT_FOUND,
    )
    async def messages(
        self, session_id: FromPath[str], sessions: NamedDependency[SessionService], who: NamedDependency[Principal]
    ) -> MessagePage:
        return MessagePage(data=await sessions.messages(who, session_id))

    @delete(
        "/{session_id:str}",
        status_code=204,
        summary="Delete a session",
        operation_id="deleteSession",
        responses=NOT_FOUND | LIVE,
    )
    async def erase(
        self,
        session_id: FromPath[str],
        erase_session: NamedDependency[Erase],
        who: NamedDependency[Principal],
        force: FromQuery[bool] = False,
    ) -> None:
        """Purge the session: its runs' events and files are gone for good. Refused while a run is live, unless `force`."""
        await erase_session(who, session_id, force)
