from .egress import Egress
from .engines import choose_engine
from .errors import EngineUnavailable, ImageMissing, ImageNotBuilt, SandboxGone
from .images import Image, ImageKeeper, Images
from .module import Containers
from .sandboxes import Sandboxes
from .spec import ContainerOptions, Limits, PoolSpec, Upstream
from .station import runtime_of
from .tool_defs import CODE_TOOLS

__all__ = [
    "CODE_TOOLS",
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
    "Sandboxes",
    "Upstream",
    "choose_engine",
    "runtime_of",
]
