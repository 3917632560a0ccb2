"""What happened since the server started, counted as it is committed. Plain numbers: nothing here costs more than an addition."""

from bisect import bisect_left
from collections.abc import Sequence

from agentrt.events import (
    FinalText,
    ModelCompleted,
    ModelFailed,
    ModelRetrying,
    ModelStarted,
    Record,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    ToolCompleted,
    ToolFailed,
    ToolStarted,
)
from agentrt.messages import Usage

Labels = tuple[str, ...]

# Callers name models and tools as they like: what comes after so many names is counted as one.
MOST_LABELS = 500
OTHER = "other"
BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_UNCOUNTED = frozenset({ModelStarted, ToolStarted, FinalText})
# Kinds of tokens that are among the input or the output.
_PARTS = ("cached", "cache_write", "reasoning", "audio_input", "audio_output", "image_input", "image_output")


class Tally:
    """A number for each set of labels."""

    def __init__(self) -> None:
        self.values: dict[Labels, float] = {}

    def add(self, labels: Labels, amount: float = 1) -> None:
        if labels not in self.values and len(self.values) >= MOST_LABELS:
            labels = (OTHER,) * len(labels)
        self.values[labels] = self.values.get(labels, 0) + amount


class Durations:
    """How many took how long, for each set of labels: counts by bucket (the last one: longer than all), and the sum."""

    def __init__(self) -> None:
        self.values: dict[Labels, tuple[list[int], list[float]]] = {}

    def add(self, labels: Labels, seconds: float) -> None:
        if labels not in self.values and len(self.values) >= MOST_LABELS:
            labels = (OTHER,) * len(labels)
        counts, total = self.values.setdefault(labels, ([0] * (len(BUCKETS_S) + 1), [0.0]))
        counts[bisect_left(BUCKETS_S, seconds)] += 1
        total[0] += seconds


class Tallies:
    """Everything that `/metrics` counts. `see` takes the records of one append, after its commit."""

    def __init__(self) -> None:
        self.runs_started, self.runs_ended = Tally(), Tally()
        self.model_calls, self.calls_failed, self.attempts_failed = Tally(), Tally(), Tally()
        self.tokens, self.dollars = Tally(), Tally()
        self.tool_calls, self.trips, self.requests = Tally(), Tally(), Tally()
        self.model_seconds, self.tool_seconds = Durations(), Durations()

    def see(self, records: Sequence[Record]) -> None:
        for record in records:
            if type(record.event) in _UNCOUNTED:
                continue
            match record.event:  # what most runs have comes first: each case that does not fit has its price
                case RunStarted(agent=agent):
                    self.runs_started.add((agent,))
                case RunCompleted():
                    self.runs_ended.add(("completed",))
                case ModelCompleted(model=model, usage=usage, cost_usd=cost, duration_ms=took):
                    self.model_calls.add((model,))
                    self.model_seconds.add((model,), took / 1e3)
                    self._spend(model, usage, cost)
                case ModelFailed(code=code):
                    self.calls_failed.add((code,))
                case ModelRetrying(provider=provider, model=model, code=code, usage=usage, cost_usd=cost):
                    self.attempts_failed.add((f"{provider}/{model}", code))
                    self._spend(f"{provider}/{model}", usage, cost)
                case ToolCompleted(name=name, result=result, duration_ms=took):
                    self.tool_calls.add((name, "error" if result.is_error else "completed"))
                    self.tool_seconds.add((name,), took / 1e3)
                case ToolFailed(name=name, reason=reason):
                    self.tool_calls.add((name, reason))
                case RunFailed():
                    self.runs_ended.add(("failed",))
                case RunCancelled():
                    self.runs_ended.add(("cancelled",))
                case _:
                    pass

    def _spend(self, model: str, usage: Usage, cost: float | None) -> None:
        if usage.total:
            self.tokens.add((model, "input"), usage.input)
            self.tokens.add((model, "output"), usage.output)
            for kind in _PARTS:
                if count := getattr(usage, kind):
                    self.tokens.add((model, kind), count)
        if cost:
            self.dollars.add((model,), cost)
