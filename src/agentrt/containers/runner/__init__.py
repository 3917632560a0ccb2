from .dock import COMMAND, RUNNER, Dock
from .job import Ended, Job, Mode, Outcome, Stream, Taker
from .link import RunnerLink

__all__ = ["COMMAND", "RUNNER", "Dock", "Ended", "Job", "Mode", "Outcome", "RunnerLink", "Stream", "Taker"]
