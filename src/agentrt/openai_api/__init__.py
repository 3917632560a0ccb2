from .module import OpenAIApi
from .naming import BareModels

__all__ = ["BareModels", "OpenAIApi"]
