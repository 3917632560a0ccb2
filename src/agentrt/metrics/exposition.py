"""The tallies as Prometheus reads them. The library is imported by the first who asks."""

from collections.abc import Iterator, Mapping
from typing import Any

from agentrt import __version__

from .tallies import BUCKETS_S, Durations, Tallies, Tally

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BREAKER = {"closed": 0, "half_open": 1, "open": 2}


def exposition(tallies: Tallies, gauges: Mapping[str, float], breakers: Mapping[tuple[str, str], str]) -> bytes:
    """The text of one scrape: what was counted, the `gauges` by name, the state of every breaker that ever moved."""
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(namespace="agentrt", registry=registry)
    registry.register(_Collector(tallies, gauges, breakers))
    return generate_latest(registry)


class _Collector:
    def __init__(self, tallies: Tallies, gauges: Mapping[str, float], breakers: Mapping[tuple[str, str], str]) -> None:
        self._tallies, self._gauges, self._breakers = tallies, gauges, breakers

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        info = GaugeMetricFamily("agentrt_info", "The version that runs.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        for name, value in self._gauges.items():
            yield GaugeMetricFamily(f"agentrt_{name}", name.replace("_", " ").capitalize() + ".", value)
        breaker = GaugeMetricFamily(
            "agentrt_provider_breaker_state", "0 closed, 1 half open, 2 open.", labels=["provider", "model"]
        )
        for labels, state in self._breakers.items():
            breaker.add_metric(labels, _BREAKER[state])
        yield breaker
        yield from self._counted()

    def _counted(self) -> Iterator[Any]:
        t = self._tallies
        yield _counter("http_requests", "Requests answered.", ["method", "route", "status"], t.requests)
        yield _counter("runs_started", "Runs that began.", ["agent"], t.runs_started)
        yield _counter("runs_ended", "Runs that ended.", ["status"], t.runs_ended)
        yield _counter("model_calls", "Model calls that were answered.", ["model"], t.model_calls)
        yield _counter("model_calls_failed", "Model calls without a usable answer.", ["code"], t.calls_failed)
        yield _counter("model_attempts_failed", "Attempts after which another was made.", ["model", "code"], t.attempts_failed)
        yield _counter("model_tokens", "Tokens, as the providers count them.", ["model", "kind"], t.tokens)
        yield _counter("model_cost_dollars", "What models cost, where the price is known.", ["model"], t.dollars)
        yield _counter("tool_calls", "Tool calls by outcome.", ["tool", "outcome"], t.tool_calls)
        yield _counter("provider_trips", "Changes of breakers.", ["provider", "model", "state"], t.trips)
        yield _histogram("model_duration_seconds", "How long model calls took.", ["model"], t.model_seconds)
        yield _histogram("tool_duration_seconds", "How long tool calls took.", ["tool"], t.tool_seconds)


def _counter(name: str, text: str, labels: list[str], tally: Tally) -> Any:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"agentrt_{name}", text, labels=labels)
    for values, number in list(tally.values.items()):
        family.add_metric(values, number)
    return family


def _histogram(name: str, text: str, labels: list[str], durations: Durations) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(f"agentrt_{name}", text, labels=labels)
    bounds = [*map(str, BUCKETS_S), "+Inf"]
    for values, (counts, total) in list(durations.values.items()):
        below, buckets = 0, []
        for bound, count in zip(bounds, counts, strict=True):
            below += count
            buckets.append((bound, below))
        family.add_metric(values, buckets, total[0])
    return family
