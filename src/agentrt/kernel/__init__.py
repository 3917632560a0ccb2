from .backoff import delay
from .breaker import Breaker, BreakerState
from .clock import Clock, SystemClock, rfc3339
from .errors import (
    AgentrtError,
    Conflict,
    Denied,
    Exhausted,
    Invalid,
    Kind,
    NotFound,
    TimedOut,
    TooLarge,
    Unavailable,
    UpstreamFailed,
)
from .foreign import foreign_modules
from .ids import body_of, is_id, new_body, new_id
from .importing import one_import_at_a_time
from .logs import configure_logs
from .module import HealthStatus, Module, ModuleHealth
from .principal import SYSTEM, Principal
from .secrets import expand, lookup, names_in
from .share import share
from .suggest import suggest
from .supervise import supervised

__all__ = [
    "SYSTEM",
    "AgentrtError",
    "Breaker",
    "BreakerState",
    "Clock",
    "Conflict",
    "Denied",
    "Exhausted",
    "HealthStatus",
    "Invalid",
    "Kind",
    "Module",
    "ModuleHealth",
    "NotFound",
    "Principal",
    "SystemClock",
    "TimedOut",
    "TooLarge",
    "Unavailable",
    "UpstreamFailed",
    "body_of",
    "configure_logs",
    "delay",
    "expand",
    "foreign_modules",
    "is_id",
    "lookup",
    "names_in",
    "new_body",
    "new_id",
    "one_import_at_a_time",
    "rfc3339",
    "share",
    "suggest",
    "supervised",
]
