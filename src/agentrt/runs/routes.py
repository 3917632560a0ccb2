import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter

from agentrt.events import Delta, End, Record
from agentrt.http import EventStream, IdempotencyKey, RawResponse, frame, known_query, problems
from agentrt.kernel import Invalid, Principal, SystemClock, Unavailable
from agentrt.messages import says

from .activity import Activity
from .live import LiveRun
from .service import RunService
from .state import Status
from .views import ArtifactPage, RunFilter, RunPage, RunRequest, RunView, StartRun, StepPage
from .wire import EventFrames

MAX_WAIT_S = 600.0
NOT_FOUND = problems({404: "There is no such run."})
ENDED = problems({409: "The run ended otherwise before."})
REFUSED = problems(
    {
        404: "There is no such agent, model or session.",
        409: "The Idempotency-Key was used with another body.",
        429: "Too many runs are waiting.",
    }
)
EVENTS = {200: ResponseSpec(None, description="With `stream: true`: the run's events, as they happen.")}
NO_MORE = {204: ResponseSpec(None, description="The run has ended, and nothing comes after the cursor.")}


class RunsController(Controller):
    """Runs: start, list, watch, cancel."""

    path = "/runs"
    tags = ("runs",)
    before_request = known_query

    @post(status_code=202, summary="Start a run", operation_id="startRun", responses=REFUSED | EVENTS)
    async def start(
        self,
        data: JSONBody[RunRequest],
        request: Request[Any, Any, Any],
        runs: NamedDependency[RunService],
        who: NamedDependency[Principal],
        wait: Annotated[float, QueryParameter(ge=0, le=MAX_WAIT_S)] = 0,
        key: IdempotencyKey = "",
    ) -> Response[RunView]:
        """202 once the run is durably recorded. `?wait=SECONDS` holds the answer until it ends, or the time is over;
        `stream: true` answers with its events instead."""
        command = _command(data, key, await request.body() if key else b"")
        live = await runs.start(who, command)
        headers = {"x-run-id": live.id, "x-session-id": live.session_id, "location": f"/runs/{live.id}"}
        if live.replayed:
            headers["idempotency-replayed"] = "true"
        if data.stream:
            head = [(name.encode(), value.encode()) for name, value in headers.items()]
            return RawResponse(EventStream(_frames(live.id, live.__aiter__(), "0"), head))  # type: ignore[return-value]
        if wait:
            await _until_end(live, wait)
        return Response(await runs.get(who, live.id), status_code=202, headers=headers)

    @get(summary="List runs", operation_id="listRuns")
    async def list_runs(
        self,
        runs: NamedDependency[RunService],
        who: NamedDependency[Principal],
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
        order: FromQuery[Literal["asc", "desc"]] = "desc",
        after: FromQuery[str | None] = None,
        before: FromQuery[str | None] = None,
        status: FromQuery[Status | None] = None,
        agent: FromQuery[str | None] = None,
        session_id: FromQuery[str | None] = None,
    ) -> RunPage:
        wanted = RunFilter(
            limit=limit, order=order, after=after, before=before, status=status, agent=agent, session_id=session_id
        )
        return await runs.list(who, wanted)

    @get("/live", summary="Watch all runs", operation_id="watchRuns", media_type="text/event-stream")
    async def live(self, activity: NamedDependency[Activity], who: NamedDependency[Principal]) -> Response[None]:
        """Server-sent events `run`: each run as `GET /runs/{id}` shows it, whenever it has moved."""
        return RawResponse(EventStream(_moves(activity.watch(who))))

    @get("/{run_id:str}", summary="Show a run", operation_id="showRun", responses=NOT_FOUND)
    async def show(self, run_id: FromPath[str], runs: NamedDependency[RunService], who: NamedDependency[Principal]) -> RunView:
        return await runs.get(who, run_id)

    @get("/{run_id:str}/steps", summary="List a run's model and tool calls", operation_id="listSteps", responses=NOT_FOUND)
    async def steps(self, run_id: FromPath[str], runs: NamedDependency[RunService], who: NamedDependency[Principal]) -> StepPage:
        return StepPage(data=await runs.steps(who, run_id))

    @get(
        "/{run_id:str}/artifacts",
        summary="List the files that a run's tools made",
        operation_id="listArtifacts",
        responses=NOT_FOUND,
    )
    async def artifacts(
        self, run_id: FromPath[str], runs: NamedDependency[RunService], who: NamedDependency[Principal]
    ) -> ArtifactPage:
        made = await runs.artifacts(who, run_id)
        ends = (made[0].file, made[-1].file) if made else (None, None)
        return ArtifactPage(data=made, first_id=ends[0], last_id=ends[1])

    @post(
        "/{run_id:str}/cancel",
        status_code=200,
        summary="Cancel a run",
        operation_id="cancelRun",
        responses=NOT_FOUND | ENDED,
    )
    async def cancel(self, run_id: FromPath[str], runs: NamedDependency[RunService], who: NamedDependency[Principal]) -> RunView:
        """Reaches the model's stream upstream and running tools. 409 where the run has ended otherwise."""
        return await runs.cancel(who, run_id)

    @get(
        "/{run_id:str}/events",
        summary="Watch a run",
        operation_id="watchRun",
        media_type="text/event-stream",
        responses=NOT_FOUND | NO_MORE,
    )
    async def events(
        self,
        run_id: FromPath[str],
        runs: NamedDependency[RunService],
        who: NamedDependency[Principal],
        after: FromQuery[str | None] = None,
        last_event_id: Annotated[str | None, HeaderParameter(name="Last-Event-ID")] = None,
    ) -> Response[None]:
        """Server-sent events: replay, then live, to the end of the run. Resume with `Last-Event-ID` or `?after=`, both with
        an id as it came. 204 where nothing will come any more."""
        cursor = last_event_id or after or "0"
        batches = await runs.watch(who, run_id, cursor)
        if batches is None:
            return Response(None, status_code=204)
        return RawResponse(EventStream(_frames(run_id, batches, cursor), [(b"x-run-id", run_id.encode())]))


def _command(data: RunRequest, key: str, body: bytes) -> StartRun:
    if (data.input is None) == (data.messages is None):
        raise Invalid("give either input, a string, or messages, a list", param="input")
    if data.input is not None and not data.input.strip():
        raise Invalid("input must not be empty", param="input", code="empty_input")
    given = data.messages or []
    messages = tuple(says(m.role, m.content) for m in given) if data.input is None else (says("user", data.input),)
    return StartRun(
        messages=messages,
        agent=data.agent,
        model=data.model,
        mode=data.mode,
        session_id=data.session_id,
        metadata=data.metadata,
        idempotency_key=f"runs:{key}" if key else "",
        body_hash=hashlib.sha256(body).hexdigest() if key else "",
    )


async def _frames(run_id: str, batches: AsyncIterator[list[Record | Delta]], cursor: str) -> AsyncIterator[bytes]:
    """The stream's frames; one that ends before the run does says so."""
    frames, ended, why = EventFrames(run_id, cursor), False, "server_shutting_down"
    try:
        async for batch in batches:
            ended = isinstance(batch[-1], Record) and isinstance(batch[-1].event, End)
            yield frames.render(batch)
    except Unavailable as exc:  # the run goes on later, and so may its reader
        why = exc.code
    if not ended:
        yield frames.reconnect(why, SystemClock().now_us())


async def _moves(runs: AsyncIterator[RunView]) -> AsyncIterator[bytes]:
    async for run in runs:
        yield frame("run", msgspec.json.encode(run))


async def _until_end(live: LiveRun, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            async for _ in live.whole_messages():
                pass
    except TimeoutError:
        return
