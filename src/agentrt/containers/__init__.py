from .egress import Egress
from .engines import choose_engine
from .errors import EngineUnavailable, ImageMissing, ImageNotBuilt, SandboxGone
from .images import Image, ImageKeeper, Images
from .module import Containers
from .spec import ContainerOptions, Limits, PoolSpec, Upstream

__all__ = [
    "ContainerOptions",
    "Containers",
    "Egress",
    "EngineUnavailable",
    "Image",
    "ImageKeeper",
    "ImageMissing",
    "ImageNotBuilt",
    "Images",
    "Limits",
    "PoolSpec",
    "SandboxGone",
    "Upstream",
    "choose_engine",
]
