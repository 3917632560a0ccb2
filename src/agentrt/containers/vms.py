"""Containers that are not pooled: made for one user, started and stopped at will, with a disk and a port that stay."""

import asyncio
from collections.abc import Mapping
from typing import Any, Self

import msgspec
import structlog

from agentrt.kernel import AgentrtError, Exhausted, Invalid, NotFound, Principal

from .egress import Ports
from .pool import Lease, Single, SingleSpec
from .runner import Job
from .spec import Limits, Spec
from .station import Station

log = structlog.get_logger()

MOST_ENV, MOST_COMMAND, MOST_EACH = 64 * 1024, 64 * 1024, 20
_LOOK_S = 1.0
_FOREVER_S = 10 * 365 * 86_400.0


class CreateVm(Spec, frozen=True):
    """`image` empty: the one that code runs on. `command` runs whenever the VM does. `container_port` is reached from this
    machine by a port that stays the same."""

    image: str = ""
    cpu_count: float = 1.0
    memory_mb: int = 512
    disk_size_gb: float = 1.0
    env: dict[str, str] = {}
    container_port: int | None = None
    command: tuple[str, ...] = ()


class Vms:
    """Every method takes the Principal first; another tenant's, or another user's, is NotFound. Open it beside the station."""

    def __init__(self, station: Station, ports: Ports) -> None:
        self._station, self._ports = station, ports
        self._group = asyncio.TaskGroup()
        self._served: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._task = self._group.create_task(self._follow(), name="vms")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in (self._task, *self._served.values()):
            task.cancel()
        await self._group.__aexit__(None, None, None)

    async def create(self, who: Principal, asked: CreateVm) -> Single:
        """A new one, stopped. Invalid for what is asked; Exhausted where this user has too many; EngineUnavailable."""
        await self._station.settled()
        singles = self._station.singles
        if len(self.list(who)) >= MOST_EACH:
            raise Exhausted(f"a user has at most {MOST_EACH} VMs; delete one first", code="too_many_vms")
        spec = SingleSpec(image=await self._image(asked.image), limits=_limits(asked))
        port = asked.container_port
        if port is not None and not 1 <= port <= 65_535:
            raise Invalid("container_port is between 1 and 65535", param="container_port")
        if sum(map(len, asked.command)) > MOST_COMMAND or any("\x00" in word for word in asked.command):
            raise Invalid("command is larger than 64 KiB, or holds a NUL", param="command")
        # for its command alone: what is given to process 1 shows in the list of the machine's processes
        extra = {"container_port": port, "command": list(asked.command), "env": dict(_env(asked.env))}
        return await singles.create(who.tenant, who.user, spec, extra)

    def list(self, who: Principal) -> list[Single]:
        """This user's, oldest first."""
        return [single for single in self._station.singles.all() if _is_his(who, single)]

    def get(self, who: Principal, vm_id: str) -> Single:
        single = self._station.singles.get(vm_id)
        if not _is_his(who, single):
            raise NotFound(f"there is no VM {vm_id[:64]!r}", code="vm_not_found")
        return single

    async def start(self, who: Principal, vm_id: str) -> Single:
        """Fine for one that runs. EngineUnavailable, ImageMissing; Invalid for limits that this machine cannot give."""
        single = self.get(who, vm_id)
        await self._station.singles.start(single.id)
        await self._serve(single)
        return single

    async def stop(self, who: Principal, vm_id: str) -> Single:
        """End what runs in it; its disk and its port stay. Fine for one that does not run."""
        return await self._station.singles.stop(self.get(who, vm_id).id)

    async def delete(self, who: Principal, vm_id: str) -> None:
        """End it and forget it, with its disk."""
        single = self.get(who, vm_id)
        await self._station.singles.remove(single.id)
        if port := single.record.extra.get("host_port"):
            await self._ports.withdraw(port)

    async def _image(self, wanted: str) -> str:
        if not wanted:
            return self._station.image
        if wanted not in await self._station.images():
            raise Invalid(f"there is no image {wanted[:200]!r} here", param="image", code="image_missing")
        return wanted

    async def _follow(self) -> None:
        """Those that a restart of the server started again need their port and their command, too."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for single in self._station.running_singles():
                try:
                    await self._serve(single)
                except (AgentrtError, OSError) as exc:
                    log.warning("vm.not_served", vm=single.id, reason=str(exc))

    async def _serve(self, single: Single) -> None:
        lease = single.lease
        if lease is None or not lease.alive or lease.id in self._served:
            return
        self._served[lease.id] = self._group.create_task(self._run(single, lease), name=f"command of {single.id}")
        self._served[lease.id].add_done_callback(lambda _: self._served.pop(lease.id, None))
        extra = single.record.extra
        if extra.get("container_port"):
            port = await self._ports.publish(lease.link, extra["container_port"], extra.get("host_port") or 0)
            if port != extra.get("host_port"):
                await self._station.singles.remember(single.id, {**extra, "host_port": port})

    async def _run(self, single: Single, lease: Lease) -> None:
        """Its command, for as long as the box lives."""
        extra = single.record.extra
        command = tuple(extra.get("command") or ())
        if command:
            job = Job(
                mode="command",
                argv=command,
                env=extra.get("env") or {},
                wall_s=_FOREVER_S,
                cpu_s=_FOREVER_S,
                output_bytes=1 << 50,
            )
            try:
                outcome = await lease.link.run(job, lambda stream, data: None)
                log.info("vm.command_ended", vm=single.id, exit_code=outcome.exit_code)
                if lease.alive and not outcome.ended:
                    single.trouble = f"its command ended with exit code {outcome.exit_code}"
            except Exception:  # one VM's mishap must not take the others, and the server, with it
                log.exception("vm.command_failed", vm=single.id)
        await lease.link.lost.wait()


def _limits(asked: CreateVm) -> Limits:
    # no disk is larger than what fails below; a float may be so large that it is no whole number any more
    disk_mb = int(max(-1.0, min(asked.disk_size_gb, 1e9)) * 1024)
    given: dict[str, Any] = {"memory_mb": asked.memory_mb, "cpus": asked.cpu_count, "disk_mb": disk_mb}
    try:
        return msgspec.convert(given, Limits)
    except msgspec.ValidationError as exc:
        if "$.disk_mb" in str(exc):
            raise Invalid("disk_size_gb is between 0.008 and 10240", param="disk_size_gb", code="invalid_limit") from None
        names = {"memory_mb": "memory_mb", "cpus": "cpu_count"}
        param = next((name for key, name in names.items() if f"$.{key}" in str(exc)), None)
        raise Invalid(f"{param}: {str(exc).partition(' - ')[0].lower()}", param=param, code="invalid_limit") from None


def _env(env: Mapping[str, str]) -> Mapping[str, str]:
    if sum(len(name) + len(value) for name, value in env.items()) > MOST_ENV:
        raise Invalid("env is larger than 64 KiB", param="env")
    for name, value in env.items():
        if not name or "=" in name or "\x00" in name + value:
            raise Invalid(f"{name[:64]!r} is no name of a variable, or its value holds a NUL", param="env")
    return env


def _is_his(who: Principal, single: Single) -> bool:
    """Whoever names no user may use all of the tenant whose ids it knows."""
    return single.record.tenant == who.tenant and who.user in ("", single.record.user)
