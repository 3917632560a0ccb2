from .bubblewrap import IMAGE_NAME, BubblewrapEngine
from .choose import choose_engine
from .docker import DockerEngine
from .docker_config import image_name
from .docker_trouble import check_address, making_sense, trouble
from .engine import INSTANCE_LABEL, BoxEnded, BoxSpec, BoxState, Engine, EngineStatus, FoundBox, Mount

__all__ = [
    "IMAGE_NAME",
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
    "check_address",
    "choose_engine",
    "image_name",
    "making_sense",
    "trouble",
]
