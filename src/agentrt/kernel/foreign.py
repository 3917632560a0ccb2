"""Modules of other packages, by entry points."""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from .errors import Invalid
from .logs import get_logger
from .module import Module

log = get_logger()


def foreign_modules(group: str, enabled: Callable[[str], bool], services: Any) -> list[Module]:
    """Those of the entry-point group that are switched on, each called with `services`. Invalid where one cannot be loaded."""
    return [_load(point, services) for point in entry_points(group=group) if enabled(point.name)]


def _load(point: EntryPoint, services: Any) -> Module:
    try:
        return point.load()(services)
    except Exception as exc:  # code of others: whatever it is, say whose it is and how to go on without
        log.debug("module.not_loaded", module=point.name, exc_info=exc)
        raise Invalid(
            f"the module {point.name} ({point.value}) cannot be loaded: {type(exc).__name__}: {exc}; "
            f"mend it, or switch it off with AGENTRT_MODULES__{point.name.upper()}=false",
            code="module_not_loaded",
        ) from exc
