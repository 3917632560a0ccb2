"""`/api/v1/pools`: the same sandboxes, as clients of an earlier system ask for them. An instance is a sandbox."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from agentrt.http import EventStream, IdempotencyKey, RawResponse, problems
from agentrt.kernel import Invalid, NotFound, Principal

from .calling import FAILURES, Executed, executed, headers_of
from .errors import SandboxGone
from .pool import PoolStats
from .requests import Front, Work
from .sandboxes import Held
from .station import Station
from .streams import Streams
from .views import AcquireSandbox, Body, ExecuteCode

TAGS = ["pools"]
NO_POOL = problems({404: "There is no such pool."})
FULL = NO_POOL | problems({429: "All instances are in use; come back after `Retry-After`."})
GONE = problems({404: "Instance not found; the message says why."})
RUNS = GONE | problems(FAILURES)
BASE = "/api/v1/pools/{pool:str}"


class AcquireInstance(Body, frozen=True):
    """`ttl_seconds`: idle seconds after which it is removed; its files stay."""

    user_id: Annotated[str, msgspec.Meta(max_length=255)] = ""
    session_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    ttl_seconds: float | None = None


class ExecuteInstance(Body, frozen=True):
    """`code` for pools that run code; `prompt` is for agents."""

    code: str | None = None
    language: str = "python"
    prompt: str | None = None
    timeout_s: float | None = None


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    instance_id: str
    type: str
    user_id: str
    session_id: str | None
    status: str


class Released(msgspec.Struct, frozen=True):
    instance_id: str
    status: str = "released"


def pool_routes(front: Front, station: Station, streams: Streams) -> Sequence[Any]:
    """The handlers, bound to the service."""
    return (*_leases(front, station), *_executions(front, streams))


def _leases(front: Front, station: Station) -> Sequence[Any]:
    @get(BASE + "/stats", tags=TAGS, summary="How full a pool is", operation_id="poolStats", responses=NO_POOL)
    async def stats(pool: FromPath[str]) -> PoolStats:
        found = {one.name: one for one in station.open_pools()}.get(pool)
        return found.stats() if found is not None else (await station.pool(pool)).stats()

    @post(
        BASE + "/acquire",
        status_code=200,
        tags=TAGS,
        summary="Acquire an instance",
        operation_id="acquireInstance",
        responses=FULL,
    )
    async def acquire(pool: FromPath[str], data: JSONBody[AcquireInstance], who: NamedDependency[Principal]) -> Instance:
        """The one that this session has already, or a warm one, bound to it now."""
        if who.user and data.user_id and who.user != data.user_id:
            raise NotFound("user_id is not the user whom x-user-id names", code="user_not_found", param="user_id")
        if data.ttl_seconds is not None and not 1 <= data.ttl_seconds <= 604_800:
            raise Invalid("ttl_seconds is between 1 and 604800", param="ttl_seconds")
        user = Principal(who.tenant, who.user or data.user_id)
        held = await front.acquire(user, AcquireSandbox(pool=pool, session=data.session_id), data.ttl_seconds)
        return _shown(held)

    @post(
        BASE + "/{instance_id:str}/release",
        status_code=200,
        tags=TAGS,
        summary="Release an instance",
        operation_id="releaseInstance",
        responses=GONE,
    )
    async def release(pool: FromPath[str], instance_id: FromPath[str], who: NamedDependency[Principal]) -> Released:
        held = _instance(front, who, pool, instance_id)
        await front.sandboxes.release(Principal(who.tenant, held.holder.user), held.id)
        return Released(held.id)

    return (stats, acquire, release)


def _executions(front: Front, streams: Streams) -> Sequence[Any]:
    @post(
        BASE + "/{instance_id:str}/execute",
        status_code=200,
        tags=TAGS,
        summary="Execute in an instance",
        operation_id="executeInInstance",
        responses=RUNS,
    )
    async def execute(
        pool: FromPath[str],
        instance_id: FromPath[str],
        data: JSONBody[ExecuteInstance],
        who: NamedDependency[Principal],
        key: IdempotencyKey = "",
    ) -> Response[Executed]:
        called = await _work(front, _instance(front, who, pool, instance_id), data, key)(None)
        return Response(executed(called), headers=headers_of(called))

    @post(
        BASE + "/{instance_id:str}/stream",
        status_code=200,
        tags=TAGS,
        summary="Execute, and follow the output",
        operation_id="streamInInstance",
        media_type="text/event-stream",
        responses=RUNS,
    )
    async def stream(
        pool: FromPath[str],
        instance_id: FromPath[str],
        data: JSONBody[ExecuteInstance],
        who: NamedDependency[Principal],
        key: IdempotencyKey = "",
    ) -> Response[None]:
        """Lines `data: {"type": …}` for `stdout`, `stderr`, `artifact`, `result` or `error`, then `data: [DONE]`."""
        return RawResponse(EventStream(streams.done_frames(_work(front, _instance(front, who, pool, instance_id), data, key))))

    return (execute, stream)


def _instance(front: Front, who: Principal, pool: str, instance_id: str) -> Held:
    try:
        held = front.sandboxes.by_id(who, instance_id)
    except SandboxGone as exc:
        raise SandboxGone(f"Instance not found: {instance_id[:60]} ({exc.message})") from None
    if held.holder.pool != pool:
        raise SandboxGone(f"Instance not found: {instance_id[:60]} (it is not of the pool {pool[:64]!r})")
    return held


def _work(front: Front, held: Held, data: ExecuteInstance, key: str = "") -> Work:
    if data.code is None:
        why = "this pool runs code, and knows no prompts: give `code` and `language`"
        raise Invalid(why, param="prompt" if data.prompt is not None else "code", code="no_code")
    if data.prompt is not None:
        raise Invalid("give `code`; `prompt` is for pools of agents", param="prompt", code="no_agents")
    return front.execution(held, ExecuteCode(code=data.code, language=data.language, timeout_s=data.timeout_s), key)


def _shown(held: Held) -> Instance:
    holder = held.holder
    return Instance(
        instance_id=held.id,
        type=holder.pool,
        user_id=holder.user,
        session_id=holder.session or None,
        status="active",
    )
