from .bubblewrap import BubblewrapEngine
from .choose import choose_engine
from .docker import DockerEngine
from .docker_trouble import trouble
from .engine import INSTANCE_LABEL, BoxEnded, BoxSpec, BoxState, Engine, EngineStatus, FoundBox, Mount

__all__ = [
    "INSTANCE_LABEL",
    "BoxEnded",
    "BoxSpec",
    "BoxState",
    "BubblewrapEngine",
    "DockerEngine",
    "Engine",
    "EngineStatus",
    "FoundBox",
    "Mount",
    "choose_engine",
    "trouble",
]
