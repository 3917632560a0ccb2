from .database import WRITER_PRAGMAS, Database, metadata, refuses_value, unavailable, unstorable
from .migrations import Migrations, import_tables
from .ownership import Ownership

__all__ = [
    "WRITER_PRAGMAS",
    "Database",
    "Migrations",
    "Ownership",
    "import_tables",
    "metadata",
    "refuses_value",
    "unavailable",
    "unstorable",
]
