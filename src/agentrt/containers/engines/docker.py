"""Boxes by Docker, or by what speaks its API."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import msgspec

from agentrt.kernel import delay, one_import_at_a_time

from ..errors import EngineUnavailable, SandboxGone
from ..spec import MIB
from .cgroups import is_inside
from .docker_config import BOX_LABEL, container_config, container_name, image_name
from .docker_events import follow
from .docker_trouble import check_address, failure, making_sense, refusal, trouble
from .engine import BoxEnded, BoxSpec, BoxState, EngineStatus, FoundBox
from .machine import Machine
from .watchers import Watchers

if TYPE_CHECKING:
    from aiodocker import Docker, DockerError
    from aiodocker.containers import DockerContainer

_ANSWER_S = 10.0
_WORK = 3  # starting and removing may take so many times as long as an answer
_STATES: Mapping[str, BoxState] = {"created": "running", "restarting": "running", "running": "running", "paused": "paused"}
_KILLED = "137"
_REMOVALS = 4
_RECONNECT_S, _RECONNECT_LONGEST_S = 0.2, 5.0

T = TypeVar("T")


class _Host(msgspec.Struct, frozen=True):
    """What the engine says of itself and its machine."""

    version: str
    is_podman: bool
    machine: Machine
    swap_limited: bool


class DockerEngine:
    """Boxes are containers with the label `agentrt.box`; they outlive this process. `answer_s` is how long an engine may take
    to answer a question."""

    name: Literal["docker", "bubblewrap"] = "docker"

    def __init__(self, url: str, runtime: str = "", *, answer_s: float = _ANSWER_S) -> None:
        self._url = url
        self._runtime = runtime
        self._answer_s, self._work_s = answer_s, answer_s * _WORK
        self._docker: Docker | None = None
        self._host: _Host | None = None
        self._processes: dict[str, tuple[str, int]] = {}
        self._ending: set[str] = set()
        self._watchers = Watchers()
        self._follower: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        if self._follower is not None:
            self._follower.cancel()
            self._follower = None
        self._watchers.close()
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            if self._docker is not None:
                await self._docker.close()
                await self._docker.connector.close()
                self._docker = None

    async def probe(self) -> EngineStatus:
        try:
            host = await self._ready()
        except EngineUnavailable as error:
            return EngineStatus(ok=False, detail=error.message)
        detail = f"{'Podman' if host.is_podman else 'Docker'} {host.version}"
        if not host.swap_limited:
            detail += "; its kernel does not limit swap"
        return EngineStatus(ok=True, detail=detail, version=host.version)

    async def start(self, spec: BoxSpec) -> None:
        host = await self._ready()
        host.machine.check(spec.limits)
        config = container_config(spec, runtime=self._runtime, for_podman=host.is_podman)
        try:
            await self._start(spec, config)
        except BaseException:  # cancelled too
            with suppress(EngineUnavailable, TimeoutError):
                async with asyncio.timeout(self._answer_s):  # whoever waits has waited for long where it does not answer
                    await self.remove(spec.id)
            raise

    async def _start(self, spec: BoxSpec, config: dict[str, Any]) -> None:
        from aiodocker import DockerError

        # an engine goes on with what it was asked for, whoever hangs up
        creating = self._group.create_task(self._create(spec.id, config), name=f"create {spec.id}")
        try:
            failed = await asyncio.shield(creating)
        except asyncio.CancelledError:
            await asyncio.wait([creating])
            raise
        try:
            if failed is not None:
                raise failed
            await self._exchange(lambda docker: _container(docker, spec.id).start(), self._work_s)
        except DockerError as error:
            raise refusal(error, spec) from error

    async def _create(self, box_id: str, config: dict[str, Any]) -> "DockerError | EngineUnavailable | None":
        """Why it could not be, if it could not."""
        from aiodocker import DockerError

        try:
            await self._exchange(lambda docker: docker.containers.create(config, name=container_name(box_id)), self._work_s)
        except (DockerError, EngineUnavailable) as error:
            return error
        return None

    async def remove(self, box_id: str) -> None:
        self._ending.add(box_id)
        try:
            await self._remove(box_id)
        finally:
            self._ending.discard(box_id)
        self._processes.pop(box_id, None)

    async def _remove(self, box_id: str) -> None:
        from aiodocker import DockerError

        for attempt in range(1, _REMOVALS + 1):
            try:
                return await self._exchange(lambda docker: _container(docker, box_id).delete(force=True, v=True), self._work_s)
            except DockerError as error:
                if error.status in (404, 409):  # gone, or going
                    return None
                if attempt == _REMOVALS:
                    raise failure(error) from error
            # engines stumble over what ends, or is still mounted, just now
            await asyncio.sleep(delay(attempt, base=_RECONNECT_S))

    async def pause(self, box_id: str) -> None:
        await self._change(lambda docker: _container(docker, box_id).pause(), "already paused")

    async def resume(self, box_id: str) -> None:
        await self._change(lambda docker: _container(docker, box_id).unpause(), "is not paused")

    async def _change(self, work: Callable[["Docker"], Awaitable[None]], done: str) -> None:
        from aiodocker import DockerError

        try:
            await self._exchange(work, self._answer_s)
        except DockerError as error:
            said = str(error.message)
            if "is not running" in said or error.status == 404:
                raise SandboxGone("There is no such box, or it has ended.") from error
            if done not in said:
                raise failure(error) from error

    async def owns(self, box_id: str, pid: int) -> bool:
        if box_id not in self._processes:
            found = await self._find(box_id)
            if found is None:
                return False
            with making_sense():
                self._processes[box_id] = found["Id"], int(found["State"]["Pid"])
        container, first = self._processes[box_id]
        return pid > 0 and (pid == first or is_inside(pid, container))

    async def list(self, labels: Mapping[str, str]) -> Sequence[FoundBox]:
        wanted = json.dumps({"label": [BOX_LABEL, *(f"{name}={value}" for name, value in labels.items())]})
        found = await self._ask(lambda docker: docker.containers.list(all=True, filters=wanted))
        with making_sense():
            return [FoundBox(box["Labels"][BOX_LABEL], _STATES.get(box["State"], "exited")) for box in found]

    async def ended(self) -> AsyncIterator[BoxEnded]:
        if self._follower is None:
            self._follower = self._group.create_task(self._follow(), name="follow the engine's events")
        async for event in self._watchers.watch():
            yield event

    async def images(self) -> Sequence[str]:
        found = await self._ask(lambda docker: docker.images.list())
        with making_sense():
            found.sort(key=lambda image: image["Created"], reverse=True)
            tags = [tag for image in found for tag in image["RepoTags"] or () if tag != "<none>:<none>"]
            return [image_name(tag) for tag in tags]

    async def _ready(self) -> _Host:
        if self._host is None:
            await asyncio.to_thread(one_import_at_a_time, import_module, "aiodocker")  # a tenth of a second
        with making_sense():
            host = self._host or _host(
                await self._ask(lambda docker: docker.system.info()), await self._ask(lambda docker: docker.version())
            )
        self._host = host
        return host

    async def _ask(self, work: Callable[["Docker"], Awaitable[T]]) -> T:
        """A question that an engine in order does not refuse."""
        from aiodocker import DockerError

        try:
            return await self._exchange(work, self._answer_s)
        except DockerError as error:
            raise failure(error) from error

    async def _exchange(self, work: Callable[["Docker"], Awaitable[T]], patience: float) -> T:
        """One exchange with the engine, in bounded time. EngineUnavailable; DockerError for what it refused."""
        import aiohttp
        from aiodocker import DockerError

        try:
            with making_sense():
                async with asyncio.timeout(patience):
                    return await work(self._client())
        except TimeoutError as error:
            raise EngineUnavailable(
                "The container engine takes connections and does not answer: look after it, or restart it."
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise trouble(error) from error
        except DockerError as error:
            if error.status == 900:  # the client's word for a connection that was not made, or was lost
                raise trouble(error.__context__) from error
            raise

    def _client(self) -> "Docker":
        import aiohttp
        from aiodocker import Docker

        if self._docker is None:
            check_address(self._url)
            url, connector = self._url, None
            if url.startswith("unix://"):
                # a connection for each exchange: none is in the way of another, none outlives the engine that it was made to
                connector = aiohttp.UnixConnector(url.removeprefix("unix://"), limit=0, force_close=True)
                url = "unix://localhost"
            self._docker = Docker(url, connector=connector)
        return self._docker

    async def _find(self, box_id: str) -> Mapping[str, Any] | None:
        """What the engine knows of a box; None where there is none."""
        from aiodocker import DockerError

        try:
            return await self._exchange(lambda docker: _container(docker, box_id).show(), self._answer_s)
        except DockerError as error:
            if error.status == 404:
                return None
            raise failure(error) from error

    async def _follow(self) -> None:
        """Tell of boxes that end, for as long as we live, over every connection that breaks."""
        attempt = 0
        while True:
            with suppress(EngineUnavailable):
                await self._ready()
                attempt = 0
                await follow(self._client(), self._take)
            attempt += 1
            await asyncio.sleep(delay(attempt, base=_RECONNECT_S, most=_RECONNECT_LONGEST_S))

    async def _take(self, box_id: str, exit_code: str) -> None:
        reason: Literal["oom", "exited", "killed"] = "exited"
        if box_id in self._ending:
            reason = "killed"
        elif exit_code == _KILLED:
            reason = "oom" if await self._ran_out_of_memory(box_id) else "killed"
        self._watchers.tell(BoxEnded(box_id, reason))

    async def _ran_out_of_memory(self, box_id: str) -> bool:
        try:
            found = await self._find(box_id)
        except EngineUnavailable:
            return False
        return found is not None and bool(found["State"]["OOMKilled"])


def _container(docker: "Docker", box_id: str) -> "DockerContainer":
    return docker.containers.container(container_name(box_id))


def _host(info: Mapping[str, Any], version: Mapping[str, Any]) -> _Host:
    """EngineUnavailable for an engine that cannot hold a box to its limits."""
    is_podman = any(part["Name"].startswith("Podman") for part in version.get("Components") or ())
    missing = [what for what, key in (("memory", "MemoryLimit"), ("processes", "PidsLimit")) if not info.get(key)]
    if missing:
        raise EngineUnavailable(
            f"The container engine cannot limit {' and '.join(missing)} here: a rootless one needs delegated control groups."
        )
    options = " ".join(info.get("SecurityOptions") or ())
    if "name=userns" in options or "name=rootless" in options:
        raise EngineUnavailable(
            "The container engine shows files under other owners (userns-remap, rootless), so that boxes could not write theirs."
        )
    if not is_podman and "seccomp" not in options:
        raise EngineUnavailable("The container engine was built without seccomp, which boxes need.")
    machine = Machine(info["NCPU"], info["MemTotal"] // MIB)
    return _Host(info.get("ServerVersion") or version["Version"], is_podman, machine, bool(info.get("SwapLimit")))
