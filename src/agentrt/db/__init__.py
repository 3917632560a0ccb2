from .database import WRITER_PRAGMAS, Database, metadata, refuses_value, unavailable, unstorable
from .migrations import Migrations, import_tables
from .ownership import Ownership
from .partial import partial_index

__all__ = [
    "WRITER_PRAGMAS",
    "Database",
    "Migrations",
    "Ownership",
    "import_tables",
    "metadata",
    "partial_index",
    "refuses_value",
    "unavailable",
    "unstorable",
]
