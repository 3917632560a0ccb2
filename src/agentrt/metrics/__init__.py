from .module import Metrics
from .requests import CountedRequests
from .tallies import Tallies

__all__ = ["CountedRequests", "Metrics", "Tallies"]
