from .accepting import Acceptance
from .activity import Activity
from .attachments import inline_files
from .catalogue import Catalogue
from .engine import Engine
from .live import LiveRun
from .model_call import ModelCaller
from .module import Runs
from .projection import project
from .scheduler import Scheduler
from .service import RunService
from .store import RunTable
from .tool_call import ToolCaller
from .views import RunFilter, RunView, StartRun
from .wire import event_object

__all__ = [
    "Acceptance",
    "Activity",
    "Catalogue",
    "Engine",
    "LiveRun",
    "ModelCaller",
    "RunFilter",
    "RunService",
    "RunTable",
    "RunView",
    "Runs",
    "Scheduler",
    "StartRun",
    "ToolCaller",
    "event_object",
    "inline_files",
    "project",
]
