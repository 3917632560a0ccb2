"""`/api/v1/vms`: containers that are not pooled, as clients of an earlier system ask for them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from agentrt.http import problems
from agentrt.kernel import Principal, rfc3339

from .pool import Single
from .vms import CreateVm, Vms

TAGS = ["vms"]
BASE = "/api/v1/vms/{vm_id:str}"
GONE = problems({404: "There is no such VM."})
STARTS = GONE | problems({504: "It did not get ready in time."})
FULL = problems({429: "There are too many VMs; delete one first."})


class Vm(msgspec.Struct, frozen=True, kw_only=True):
    """A container of its own. `url` is where its `container_port` is reached from this machine, once it was started;
    `reason` says why it failed."""

    vm_id: str
    status: Literal["stopped", "starting", "running", "failed"]
    reason: str | None
    image: str
    cpu_count: float
    memory_mb: int
    disk_size_gb: float
    container_port: int | None
    host_port: int | None
    url: str | None
    created_at: str


class VmList(msgspec.Struct, frozen=True, kw_only=True):
    object: Literal["list"] = "list"
    data: list[Vm]
    has_more: bool = False
    first_id: str | None
    last_id: str | None


class Deleted(msgspec.Struct, frozen=True):
    vm_id: str
    status: str = "deleted"


def vm_routes(vms: Vms) -> Sequence[Any]:
    """The handlers, bound to the service."""

    @post("/api/v1/vms", status_code=201, tags=TAGS, summary="Create a VM", operation_id="createVm", responses=FULL)
    async def create(data: JSONBody[CreateVm], who: NamedDependency[Principal]) -> Vm:
        """Stopped at first; its disk is there already."""
        return _shown(await vms.create(who, data))

    @get("/api/v1/vms", tags=TAGS, summary="List VMs", operation_id="listVms", sync_to_thread=False)
    def list_vms(who: NamedDependency[Principal]) -> VmList:
        """Those of the user whom `x-user-id` names, oldest first."""
        found = [_shown(single) for single in vms.list(who)]
        ends = (found[0].vm_id, found[-1].vm_id) if found else (None, None)
        return VmList(data=found, first_id=ends[0], last_id=ends[1])

    @get(BASE + "/status", tags=TAGS, summary="How a VM is", operation_id="vmStatus", responses=GONE, sync_to_thread=False)
    def status(vm_id: FromPath[str], who: NamedDependency[Principal]) -> Vm:
        return _shown(vms.get(who, vm_id))

    @post(BASE + "/start", status_code=200, tags=TAGS, summary="Start a VM", operation_id="startVm", responses=STARTS)
    async def start(vm_id: FromPath[str], who: NamedDependency[Principal]) -> Vm:
        """Fine for one that runs. It comes back by itself when the server was started again."""
        return _shown(await vms.start(who, vm_id))

    @post(BASE + "/stop", status_code=200, tags=TAGS, summary="Stop a VM", operation_id="stopVm", responses=GONE)
    async def stop(vm_id: FromPath[str], who: NamedDependency[Principal]) -> Vm:
        """What it wrote to its disk stays, and so does its port. Fine for one that does not run."""
        return _shown(await vms.stop(who, vm_id))

    @delete(BASE, status_code=200, tags=TAGS, summary="Delete a VM", operation_id="deleteVm", responses=GONE)
    async def remove(vm_id: FromPath[str], who: NamedDependency[Principal]) -> Deleted:
        """With its disk, for good."""
        await vms.delete(who, vm_id)
        return Deleted(vm_id)

    return (create, list_vms, status, start, stop, remove)


def _shown(single: Single) -> Vm:
    record, limits = single.record, single.record.spec.limits
    extra: Mapping[str, Any] = record.extra
    host_port = extra.get("host_port")
    return Vm(
        vm_id=single.id,
        status=single.state,
        reason=single.why or None,
        image=record.spec.image,
        cpu_count=limits.cpus,
        memory_mb=limits.memory_mb,
        disk_size_gb=round(limits.disk_mb / 1024, 3),
        container_port=extra.get("container_port"),
        host_port=host_port,
        url=f"http://127.0.0.1:{host_port}" if host_port else None,
        created_at=rfc3339(record.created_us),
    )
