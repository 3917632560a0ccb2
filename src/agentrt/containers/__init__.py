from .errors import EngineUnavailable, ImageMissing, SandboxGone
from .spec import ContainerOptions, Limits, PoolSpec, Upstream

__all__ = ["ContainerOptions", "EngineUnavailable", "ImageMissing", "Limits", "PoolSpec", "SandboxGone", "Upstream"]
