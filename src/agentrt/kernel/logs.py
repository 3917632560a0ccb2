"""Logging: one handler for our own lines and those of libraries. Called once, before anything else logs."""

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

import msgspec


@contextmanager
def _without(module: str) -> Generator[None]:
    """A block in which a module that is not loaded yet cannot be."""
    kept = sys.modules.get(module)
    sys.modules[module] = kept  # type: ignore[assignment]  # None: looked for and not found
    try:
        yield
    finally:
        if kept is None:
            del sys.modules[module]


with _without("rich"):  # structlog takes it along wherever it is installed: 4 MiB and a tenth of a server's start, for colours
    import structlog

get_logger = structlog.get_logger

_QUIET = (
    "aiosqlite",
    "alembic",
    "asyncio",
    "google_genai",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "mcp",
    "uvicorn.access",
    "watchfiles",
)


def configure_logs(level: str = "info", format_: Literal["auto", "console", "json"] = "auto") -> None:
    """Lines of at least `level` to standard error: for people on a terminal (`auto`, `console`), else JSON."""
    json = format_ == "json" or (format_ == "auto" and not sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_render(json)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel("WARNING")
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _render(json: bool) -> list[Any]:
    """The last processors. Local variables hold keys and prompts: no traceback shows them."""
    if not json:
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
    tracebacks = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
    return [tracebacks, structlog.processors.JSONRenderer(serializer=_dumps)]


def _dumps(value: Any, default: Any = None, **_: Any) -> str:
    return msgspec.json.encode(value, enc_hook=default or str).decode()
