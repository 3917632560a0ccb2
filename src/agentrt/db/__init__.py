from .database import WRITER_PRAGMAS, Database, metadata, unavailable
from .migrations import Migrations
from .ownership import Ownership

__all__ = ["WRITER_PRAGMAS", "Database", "Migrations", "Ownership", "metadata", "unavailable"]
