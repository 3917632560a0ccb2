from .append import Projector, Statement
from .journal import Journal
from .tail import Place

__all__ = ["Journal", "Place", "Projector", "Statement"]
