from .module import Sessions
from .parts import RunPart
from .service import SessionService, Target, is_session
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
    "is_session",
]
