"""What Prometheus reads of a server that has answered, failed and called tools."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agentrt.events import ModelCompleted, Record
from agentrt.messages import Usage, says
from agentrt.metrics import Tallies
from agentrt.metrics.exposition import exposition


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def answered(model: str, seconds: float) -> Record:
    done = ModelCompleted(
        step=1,
        message=says("assistant", "hi"),
        usage=Usage(10, 5, cached=4),
        cost_usd=0.25,
        stop="stop",
        model=model,
        duration_ms=seconds * 1e3,
    )
    return Record("run_0", 3, 0, done)


def test_durations_fall_into_buckets_that_include_the_smaller_ones() -> None:
    tallies = Tallies()
    for seconds in (0.02, 0.3, 400.0):
        tallies.see([answered("a/b", seconds)])
    seen = samples(exposition(tallies, {}, {}).decode())
    model = ("model", "a/b")
    assert seen["agentrt_model_calls_total", (model,)] == 3
    assert seen["agentrt_model_tokens_total", (("kind", "cached"), model)] == 12
    assert seen["agentrt_model_cost_dollars_total", (model,)] == pytest.approx(0.75)
    assert seen["agentrt_model_duration_seconds_bucket", (("le", "0.025"), model)] == 1
    assert seen["agentrt_model_duration_seconds_bucket", (("le", "0.5"), model)] == 2
    assert seen["agentrt_model_duration_seconds_bucket", (("le", "300.0"), model)] == 2
    assert seen["agentrt_model_duration_seconds_bucket", (("le", "+Inf"), model)] == 3
    assert seen["agentrt_model_duration_seconds_sum", (model,)] == pytest.approx(400.32)


def test_names_that_callers_invent_do_not_grow_the_answer_without_bound() -> None:
    tallies = Tallies()
    for number in range(2000):
        tallies.see([answered(f"a/{number}", 0.1)])
    assert len(tallies.model_calls.values) <= 501
    assert tallies.model_calls.values["other",] == 1500


def test_a_breaker_shows_its_state() -> None:
    seen = samples(exposition(Tallies(), {"runs_active": 2}, {("openai", "gpt"): "open"}).decode())
    assert seen["agentrt_provider_breaker_state", (("model", "gpt"), ("provider", "openai"))] == 2
    assert seen["agentrt_runs_active", ()] == 2
