from .module import Sessions
from .service import RunPart, SessionService, Target
from .store import SessionTable
from .views import CreateSession, Session, SessionMessage, SessionView

__all__ = [
    "CreateSession",
    "RunPart",
    "Session",
    "SessionMessage",
    "SessionService",
    "SessionTable",
    "SessionView",
    "Sessions",
    "Target",
]
