import msgspec

from agentrt.bus import Bus
from agentrt.kernel import Clock

from ..engines import Engine
from ..workspaces import Workspaces
from .slots import Slots
from .starting import Starter


class Supplies(msgspec.Struct, frozen=True):
    """What all pools of a server share."""

    engine: Engine
    workspaces: Workspaces
    slots: Slots
    starter: Starter
    clock: Clock
    bus: Bus


class PoolStats(msgspec.Struct, frozen=True):
    """How full a pool is. `active_instances` are bound to somebody, paused ones included."""

    type: str
    warm_instances: int
    active_instances: int
    creating_instances: int
    max_instances: int
    queue_length: int
    image: str
