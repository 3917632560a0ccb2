"""One spelling for the addresses that people have for their database."""

from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from .paths import expanded

# libpq's words, which asyncpg does not know; what it cannot do is said
_RENAMED = {"sslmode": "ssl", "connect_timeout": "timeout"}
_UNSUPPORTED = frozenset(
    {"channel_binding", "application_name", "options", "sslrootcert", "sslcert", "sslkey", "target_session_attrs", "keepalives"}
)
DATABASE_FILE = "agentrt.db"
_POSTGRES = frozenset({"postgres", "postgresql"})


def embedded(data_dir: Path) -> str:
    """The SQLite file in the data folder."""
    return f"sqlite+aiosqlite:///{data_dir / DATABASE_FILE}"


def normalise(url: str, base: Path) -> tuple[str, tuple[str, ...]]:
    """`url` in its asynchronous dialect (a relative SQLite path counted from `base`), and notices about what was dropped.

    ValueError says what is wrong with it, without repeating it: it may hold a password.
    """
    scheme, mark, rest = url.strip().partition("://")
    dialect = scheme.partition("+")[0].lower()
    if not mark:
        raise ValueError("expected postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE")
    if dialect == "sqlite":
        return _sqlite(rest, base), ()
    if dialect in _POSTGRES:
        return _postgres(rest)
    raise ValueError(f"agentrt keeps its data in SQLite or PostgreSQL, not in {dialect or 'this'!r}")


def _sqlite(rest: str, base: Path) -> str:
    path, _, _ = rest.partition("?")
    if path in {"", "/", "/:memory:"}:
        raise ValueError("a database in memory keeps nothing: name a file, as in sqlite:///agentrt.db")
    if not path.startswith("/"):
        raise ValueError("a SQLite address has three slashes before a relative path and four before an absolute one")
    return f"sqlite+aiosqlite:///{base / expanded(Path(path[1:]))}"


def _postgres(rest: str) -> tuple[str, tuple[str, ...]]:
    place, _, query = rest.partition("?")
    try:
        _ = urlsplit(f"postgresql://{rest}").port
    except ValueError:
        raise ValueError(
            "its host and port cannot be read: expected postgresql://USER:PASSWORD@HOST:PORT/NAME,"
            " with %2F for / and %23 for # in a password"
        ) from None
    if not place.rpartition("@")[2].partition("/")[2] and "host=" not in query:
        raise ValueError("the address names no database: expected postgresql://USER:PASSWORD@HOST/NAME")
    kept, notices = [], []
    for name, value in parse_qsl(query):
        if name in _UNSUPPORTED:
            notices.append(f"the database address's parameter {name} is not supported and was dropped")
        else:
            kept.append((_RENAMED.get(name, name), value))
    return f"postgresql+asyncpg://{place}" + (f"?{urlencode(kept)}" if kept else ""), tuple(notices)
