"""The agents under `examples/agents/` and the rules under `examples/offline/`, without a key."""

import json

import pytest

from fixtures.watching import story, types


def chat(api, model: str, text: str, **more):
    return api.post("/v1/chat/completions", json={"model": model, "messages": [{"role": "user", "content": text}], **more})


def test_every_example_is_loaded(api):
    health = api.get("/health").json()["modules"]["configs"]
    assert health["status"] == "ok" and health["detail"]["agents"] == 5 and health["detail"]["offline"] == 1


def test_an_extractor_answers_with_data_whatever_the_caller_asks_for(api):
    answer = chat(api, "extract", "Ada Lovelace", response_format={"type": "text"}, temperature=1)
    assert set(answer.headers["x-agentrt-ignored"].split(", ")) == {"temperature", "response_format"}
    assert json.loads(answer.json()["choices"][0]["message"]["content"]).keys() == {"name", "born", "place"}


def test_an_errand_goes_on_until_it_is_done(api):
    run = api.post("/runs?wait=30", json={"agent": "errand", "input": "What is 17 * 24?"}).json()
    assert (run["mode"], run["status"], run["output"]) == ("autonomous", "completed", {"text": "17 * 24 = 408"})
    called = [step["name"] for step in api.get(f"/runs/{run['id']}/steps").json()["data"] if step["type"] == "tool"]
    assert called == ["calculator", "finish_task"]


def test_the_kitchen_sink_works(api):
    answer = chat(api, "every-key", "Echo: all of it", temperature=2)
    assert answer.json()["choices"][0]["message"]["content"] == "The echo tool answered: all of it"
    assert "temperature" in answer.headers["x-agentrt-ignored"]


@pytest.mark.parametrize(
    ("model", "text", "answered"),
    [
        ("default", "sum of 3 and 4", "The sum is 7.0."),
        ("default", "weather in Oslo", "No tool on offer knows the weather in Oslo."),
        ("offline/steady", "go", "tick " * 10),
        ("offline/thinker", "go", "I thought about it."),
    ],
)
def test_rules_of_a_file_come_before_the_built_in_ones(api, model, text, answered):
    assert chat(api, model, text).json()["choices"][0]["message"]["content"] == answered


def test_a_rule_can_report_its_own_usage_and_its_own_reasoning(api):
    assert chat(api, "offline/steady", "go").json()["usage"]["total_tokens"] == 110
    message = chat(api, "offline/thinker", "Why?").json()["choices"][0]["message"]
    assert message["reasoning_content"] == "The question was: Why?"


def test_a_rule_can_break_off(api):
    streamed = chat(api, "offline/fragile", "go", stream=True).text
    assert "provider_overloaded" in streamed and "[DONE]" not in streamed
    run = api.post("/runs", json={"input": "go", "model": "offline/fragile"}).json()
    assert types(story(api, run["id"]))[-2:] == ["model_failed", "run_failed"]
