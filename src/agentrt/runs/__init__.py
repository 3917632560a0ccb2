from .accepting import Acceptance
from .activity import Activity
from .attachments import Inlined, inline_files
from .catalogue import Catalogue, direct
from .claims import Claims
from .embedding import EmbeddingRun, EmbeddingRuns
from .engine import Engine
from .live import LiveRun
from .model_call import ModelCaller
from .module import Runs
from .projection import project
from .prompt_source import PromptSource, Told
from .scheduler import Scheduler
from .service import RunService
from .store import RunTable
from .tool_call import ToolCaller
from .tool_runs import ToolRunResult, ToolRuns
from .views import RunFilter, RunView, StartRun
from .wire import event_object

__all__ = [
    "Acceptance",
    "Activity",
    "Catalogue",
    "Claims",
    "EmbeddingRun",
    "EmbeddingRuns",
    "Engine",
    "Inlined",
    "LiveRun",
    "ModelCaller",
    "PromptSource",
    "RunFilter",
    "RunService",
    "RunTable",
    "RunView",
    "Runs",
    "Scheduler",
    "StartRun",
    "Told",
    "ToolCaller",
    "ToolRunResult",
    "ToolRuns",
    "direct",
    "event_object",
    "inline_files",
    "project",
]
