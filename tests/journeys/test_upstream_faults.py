"""A provider that misbehaves: never a silently short answer, always the reason."""

import openai
import pytest

from fixtures.watching import story, text_of, types
from upstreams.openai_upstream import Reply, calls, event, page, refuses, says, streams

HI = [{"role": "user", "content": "hi"}]


def fails(api, upstream, *replies, agent="default"):
    upstream.script(*replies)
    run = api.post("/runs?wait=30", json={"input": "hi", "agent": agent}).json()
    assert run["status"] == "failed", run
    return run["error"]


def test_what_may_pass_is_tried_again_and_shown(api, upstream):
    upstream.script(refuses(500), refuses(429, "slow down", retry_after="0"), says("At last."))
    run = api.post("/runs?wait=30", json={"input": "hi", "agent": "careful"}).json()
    assert run["output"]["text"] == "At last."
    retries = [event_ for event_ in story(api, run["id"]) if event_.type == "model_retrying"]
    assert [(r.data["attempt"], r.data["code"]) for r in retries] == [(1, "server_error"), (2, "rate_limit")]
    (step,) = api.get(f"/runs/{run['id']}/steps").json()["data"]
    assert step["attempts"] == 3


def test_retry_after_is_honoured(api, upstream):
    upstream.script(refuses(429, "slow down", retry_after="1"), says("At last."))
    run = api.post("/runs?wait=30", json={"input": "hi", "agent": "careful"}).json()
    (retry,) = [event_ for event_ in story(api, run["id"]) if event_.type == "model_retrying"]
    assert run["status"] == "completed" and retry.data["wait_s"] >= 1


@pytest.mark.parametrize(
    ("reply", "code", "word"),
    [
        (refuses(401, "Incorrect API key provided"), "authentication", "API key"),
        (refuses(403, "no"), "permission", ""),
        (refuses(404, "The model does not exist", "model_not_found"), "not_found", "model"),
        (refuses(400, "too long", "context_length_exceeded"), "context_length", ""),
        (refuses(429, "slow down", retry_after="2"), "rate_limit", ""),
        (page(), "malformed", "/v1"),
        (page(404), "not_found", "/v1"),
        (says("cut", end="cut"), "connection", ""),
        (says("reset", end="reset"), "connection", ""),
        (streams({"content": "no end"}, finish=None), "truncated", ""),
        (Reply([b"data: {not json}\n\n"]), "malformed", ""),
        (Reply([]), "truncated", ""),
        (Reply([event({"error": {"message": "overloaded", "code": "server_error"}})]), "server_error", "overloaded"),
    ],
)
def test_a_failure_is_one_sentence_with_a_code(api, upstream, reply, code, word):
    error = fails(api, upstream, reply)
    assert error["code"] == code and word in error["message"], error
    assert "Traceback" not in error["message"] and "sk-journeys" not in str(error)
    assert api.get("/health").json()["status"] == "healthy"


@pytest.mark.parametrize("end", ["cut", "reset"])
def test_a_chat_whose_provider_breaks_off_ends_with_an_error_and_the_run_keeps_what_was_shown(api, client, upstream, end):
    upstream.script(says("Half of the ans", end=end))
    shown = ""
    with pytest.raises(openai.APIError) as broken:
        for piece in client.chat.completions.create(model="default", messages=HI, stream=True):
            shown += piece.choices[0].delta.content or ""
    assert shown == "Half of the ans" and broken.value.code in ("truncated", "connection")
    run = api.get("/runs?limit=1").json()["data"][0]
    events = story(api, run["id"])
    assert run["status"] == "failed" and types(events)[-2:] == ["model_failed", "run_failed"]
    assert text_of(events) == shown


def test_a_call_with_broken_arguments_is_told_to_the_model_which_goes_on(api, upstream):
    wanted = {"id": "c1", "type": "function", "function": {"name": "calculator", "arguments": '{"expression": '}}
    upstream.script(
        streams({"tool_calls": [{"index": 0, **wanted}]}, finish="tool_calls"), calls(("nothing", {})), says("Sorry.")
    )
    run = api.post("/runs?wait=30", json={"input": "hi"}).json()
    assert run["output"]["text"] == "Sorry."
    told = [event_.data["result"] for event_ in story(api, run["id"]) if event_.type in ("tool_completed", "tool_failed")]
    assert all(result["is_error"] for result in told)
    assert "not valid JSON" in told[0]["parts"][0]["text"] and "There is no tool 'nothing'" in told[1]["parts"][0]["text"]
