from .box import DEATHS, Why
from .lease import Lease
from .pool import Pool
from .pools import Pools
from .reconcile import instance_id, reconcile
from .singles import Single, SingleRecord, Singles, SingleSpec
from .states import BoxStates, Stage
from .supplies import PoolStats

__all__ = [
    "DEATHS",
    "BoxStates",
    "Lease",
    "Pool",
    "PoolStats",
    "Pools",
    "Single",
    "SingleRecord",
    "SingleSpec",
    "Singles",
    "Stage",
    "Why",
    "instance_id",
    "reconcile",
]
