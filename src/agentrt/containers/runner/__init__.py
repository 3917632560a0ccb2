from .job import Job, Mode, Outcome, Stream, Taker

__all__ = ["Job", "Mode", "Outcome", "Stream", "Taker"]
