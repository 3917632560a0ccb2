"""Every wire against aimock, which plays all providers and was written by others: natively and by the official SDKs behind us,
OpenAI's SDK before us.

Where aimock itself is unlike the provider, the case is left out or the fixture says what the provider would:
- Gemini: a turn with calls ends in `FUNCTION_CALL`, which is no `finishReason` of the API; ENDS says "stop" (`STOP`).
- Ollama: thinking comes as `reasoning_content`, not `thinking`, so there is none; `prompt_eval_count` and `eval_count` are
  always 0, so usage is not looked at; `done_reason` is always `stop`, so nothing is too long.
- All: chunks are cut between UTF-16 units, so characters beyond U+FFFF would come in halves; WORDS has its one inside a chunk.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from fixtures.aimock import PACKAGE, Aimock
from fixtures.live_server import LiveServer
from fixtures.npm import Npm
from fixtures.postgres import free_port
from fixtures.watching import story, text_of, types

pytestmark = pytest.mark.timeout(400)  # the first one installs aimock

MODELS = {
    "openai": "gpt-oss-120b",
    "openai_responses": "gpt-5.5",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "ollama": "qwen3:4b",
}
VOICES = [f"{wire}-{carrier}" for wire in MODELS for carrier in ("native", "sdk") if (wire, carrier) != ("ollama", "sdk")]
HI = [{"role": "user", "content": "hi"}]
WORDS = 'Grüße 🌍 and "quotes"\n\tover two lines.'
SPARE = "The spare one, whole and once."
LONG = "A long answer that ends before its end comes, as nobody expected it."
ENDS = {"finishReason": "stop"}
ADDING, TIMING = ("calculator", {"expression": "2+2"}), ("calculator", {"expression": "3*4"})
WEATHER = {"city": "Tromsø", "days": [1, 2], "exact": {"to": 0.5, "unit": None}}
FUNCTIONS: Any = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
    for name in ("weather", "clothes")
]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FORM: Any = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": SCHEMA}}


def refuses(status: int, message: str = "not now", **more: Any) -> dict[str, Any]:
    return {"response": {"error": {"message": message, "type": "server_error"}, "status": status, **more}}


def pieces(**timing: Any) -> dict[str, Any]:
    return {"response": {"content": LONG}, "chunkSize": 4, **timing}


# by the model that is asked for
FAULTS: dict[str, dict[str, Any]] = {
    "busy": refuses(429, "slow down", retryAfter=30),
    "failing": refuses(500),
    "down": refuses(503),
    "overloaded": refuses(529),
    "dropping": {"response": {"content": LONG}, "chaos": {"disconnectRate": 1}},
    "babbling": {"response": {"content": LONG}, "chaos": {"malformedRate": 1}},
    "silent": {"response": {"content": LONG}, "streamingProfile": {"ttft": 300_000}},
    "cut": pieces(latency=5, truncateAfterChunks=10),
    "stuck": pieces(recordedTimings={"ttftMs": 0, "interChunkDelaysMs": [0] * 8 + [300_000], "totalDurationMs": 300_000}),
}
CODES = {
    "busy": ("rate_limit", 429, "rate_limit_exceeded"),
    "failing": ("server_error", 502, "server_error"),
    "down": ("overloaded", 503, "provider_overloaded"),
    "overloaded": ("overloaded", 503, "provider_overloaded"),
    "dropping": ("connection", 502, "connection"),
    "babbling": ("malformed", 502, "malformed"),
    "silent": ("timeout_first_token", 504, "provider_timeout"),
    "cut": ("connection", 502, "connection"),
    "stuck": ("timeout_idle", 504, "provider_timeout"),
}
MIDWAY = ("cut", "stuck")
# no pause of a busy machine is mistaken for a provider's: each has the one limit that its fault is about
LIMITS = {"silent": {"first_token_s": 0.05}, "stuck": {"idle_s": 0.1}}


def entry_of(voice: str, aimock: Aimock, **limits: float) -> dict[str, Any]:
    wire, carrier = voice.split("-")
    base_url = aimock.url + ("/v1" if wire.startswith("openai") else "")
    return {"wire": wire, "client": carrier, "base_url": base_url, "api_key": "sk-aimock", **limits}


def asks(voice: str, fault: str, model: str = "") -> str:
    return f"{voice}-{fault}/{model or fault}" if fault in LIMITS else f"{voice}/{model or fault}"


def agents_of(voice: str) -> Iterator[dict[str, Any]]:
    own = f"{voice}/{MODELS[voice.split('-')[0]]}"
    once = {"retry": {"attempts": 1}}
    yield {"name": voice, "model": own, **once}
    yield {"name": f"{voice}-counts", "model": own, "tools": ["calculator"], "parameters": {"reasoning_effort": "low"}, **once}
    yield {"name": f"{voice}-patient", "model": f"{voice}/patient-{voice}", "retry": {"attempts": 2, "backoff": 0}}
    faulty = [{"model": asks(voice, fault, f"first-{fault}"), "when": f"metadata.fault == '{fault}'"} for fault in FAULTS]
    yield {"name": f"{voice}-falls", "model": [*faulty, "spare/spare"], **once}


class Stage:
    """A server whose providers are all aimock, and clients of it."""

    def __init__(self, aimock: Aimock, home: Path) -> None:
        providers = {"spare": {"base_url": f"{aimock.url}/v1"}}
        (home / "agents").mkdir()
        for voice in VOICES:
            providers[voice] = entry_of(voice, aimock)
            providers |= {f"{voice}-{fault}": entry_of(voice, aimock, **limits) for fault, limits in LIMITS.items()}
            for agent in agents_of(voice):
                (home / "agents" / f"{agent['name']}.yaml").write_text(json.dumps(agent))
        (home / "agentrt.yaml").write_text(json.dumps({"providers": providers, "prices": {"*": {"input": 1, "output": 10}}}))
        env = {"AGENTRT_CONFIG": str(home / "agents"), "AGENTRT_MODULES__MCP_REGISTRY": "false"}
        self.server = LiveServer(home, (), env, free_port())
        self.server.wait_healthy()
        self.api = httpx2.Client(base_url=self.server.url, timeout=50)
        self.client = openai.OpenAI(base_url=self.server.url + "/v1", api_key="-", max_retries=0, timeout=50)

    def close(self) -> None:
        self.api.close()
        self.client.close()
        assert self.server.terminate() == 0, self.server.log
        assert not [word for word in ("Traceback", "caller.not_followed") if word in self.server.log]

    def chat(self, model: str, messages: Any = HI, **more: Any) -> Any:
        return self.client.chat.completions.create(model=model, messages=messages, **more)

    def streamed(self, model: str, messages: Any = HI, **more: Any) -> "Heard":
        heard = Heard()
        stream = self.chat(model, messages, stream=True, stream_options={"include_usage": True}, **more)
        for chunk in stream:
            heard.hear(chunk)
        return heard

    def run(self, agent: str, **more: Any) -> dict[str, Any]:
        return self.api.post("/runs?wait=50", json={"input": "hi", "agent": agent, **more}).json()


class Heard:
    """A streamed chat, put together as its reader does it."""

    def __init__(self) -> None:
        self.text = self.reasoning = ""
        self.calls: dict[int, list[str]] = {}
        self.reasons: list[str] = []
        self.usage: Any = None

    def hear(self, chunk: Any) -> None:
        self.usage = chunk.usage or self.usage
        for choice in chunk.choices:
            self.text += choice.delta.content or ""
            self.reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            self.reasons += [choice.finish_reason] if choice.finish_reason else []
            for call in choice.delta.tool_calls or ():
                known = self.calls.setdefault(call.index, [call.id, call.function.name, ""])
                known[2] += call.function.arguments or ""


@pytest.fixture(scope="module")
def aimock(npm: Npm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aimock]:
    running = Aimock(npm.program(PACKAGE, "aimock"), tmp_path_factory.mktemp("aimock"))
    try:
        running.wait_ready()
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def stage(aimock: Aimock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    opened = Stage(aimock, tmp_path_factory.mktemp("stage"))
    try:
        yield opened
        opened.close()
    finally:
        if opened.server.process.poll() is None:
            opened.server.kill()


@pytest.fixture(params=VOICES)
def voice(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def wire(voice: str) -> str:
    return voice.split("-")[0]


def test_a_text_its_reasoning_and_its_usage_arrive_as_they_were_told(aimock: Aimock, stage: Stage, voice: str, wire: str) -> None:
    thought = "" if wire == "ollama" else "Let me see."
    usage = {"prompt_tokens": 21, "completion_tokens": 7}
    aimock.tell({"match": {}, "response": {"content": WORDS, "reasoning": thought, "usage": usage}, "chunkSize": 3})
    heard = stage.streamed(voice)
    whole = stage.chat(voice)
    run = stage.run(voice)
    assert run["status"] == "completed", run["error"]
    said = whole.choices[0].message
    assert heard.text == said.content == run["output"]["text"] == WORDS
    assert (heard.reasons, whole.choices[0].finish_reason, run["finish_reason"]) == (["stop"], "stop", "stop")
    assert heard.reasoning == (getattr(said, "reasoning_content", None) or "") == thought
    if wire != "ollama":
        assert (heard.usage.prompt_tokens, heard.usage.completion_tokens, heard.usage.total_tokens) == (21, 7, 28)
        assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (21, 7)
        assert (run["usage"]["input_tokens"], run["usage"]["output_tokens"], run["usage"]["estimated"]) == (21, 7, False)
        assert run["cost_usd"] == pytest.approx((21 * 1 + 7 * 10) / 1e6)


def test_functions_of_the_caller_are_called_as_they_were_told_and_their_results_go_back(
    aimock: Aimock, stage: Stage, voice: str
) -> None:
    wanted = [{"name": "weather", "arguments": WEATHER}, {"name": "clothes", "arguments": {}}]
    aimock.tell(
        {"match": {"hasToolResult": False}, "response": {"toolCalls": wanted, **ENDS}, "chunkSize": 5},
        {"match": {"toolResultContains": "an umbrella"}, "response": {"content": WORDS}},
    )
    heard = stage.streamed(voice, tools=FUNCTIONS)
    whole = stage.chat(voice, tools=FUNCTIONS).choices[0]
    assert (heard.reasons, whole.finish_reason, heard.text) == (["tool_calls"], "tool_calls", "")
    said = whole.message.tool_calls
    for calls in (list(heard.calls.values()), [[call.id, call.function.name, call.function.arguments] for call in said]):
        assert [(name, json.loads(arguments)) for _, name, arguments in calls] == [("weather", WEATHER), ("clothes", {})]
        assert len({id_ for id_, _, _ in calls}) == 2
    answers = [
        {"role": "tool", "tool_call_id": call.id, "content": result}
        for call, result in zip(said, ("rain", "an umbrella"), strict=True)
    ]
    again = [*HI, whole.message.model_dump(exclude_none=True), *answers]
    assert stage.chat(voice, again, tools=FUNCTIONS).choices[0].message.content == WORDS
    assert stage.streamed(voice, again, tools=FUNCTIONS).text == WORDS


def test_our_own_tools_are_called_and_thinking_goes_back_with_their_results(
    aimock: Aimock, stage: Stage, voice: str, wire: str
) -> None:
    calls = [{"name": name, "arguments": arguments} for name, arguments in (ADDING, TIMING)]
    thought = {} if wire == "ollama" else {"reasoning": "First I count."}
    aimock.tell(
        {"match": {"hasToolResult": False}, "response": {"toolCalls": calls, **thought, **ENDS}},
        {"match": {"toolResultContains": "12"}, "response": {"content": "4 and 12"}},
    )
    run = stage.run(f"{voice}-counts")
    assert (run["status"], run["output"]) == ("completed", {"text": "4 and 12"}), run["error"]
    told = [event for event in story(stage.api, run["id"]) if event.type == "tool_completed"]
    assert [event.data["result"]["parts"][0]["text"] for event in told] == ["4", "12"]
    assert [asked["response"]["status"] for asked in aimock.asked if asked["method"] == "POST"] == [200, 200]
    heard = stage.streamed(f"{voice}-counts")
    assert (heard.text, heard.reasons, heard.calls) == ("4 and 12", ["stop"], {})


def test_an_answer_has_the_form_that_was_asked_for_or_is_an_error(aimock: Aimock, stage: Stage, voice: str) -> None:
    right, wrong = {"content": {"city": "Tromsø"}}, {"content": {"town": "Tromsø"}}
    aimock.tell({"match": {}, "response": right, "chunkSize": 4})
    assert json.loads(stage.streamed(voice, response_format=FORM).text) == right["content"]
    aimock.tell({"match": {"sequenceIndex": 0}, "response": wrong}, {"match": {"sequenceIndex": 1}, "response": right})
    assert json.loads(stage.chat(voice, response_format=FORM).choices[0].message.content) == right["content"]
    aimock.tell({"match": {}, "response": wrong})
    with pytest.raises(openai.APIError) as failed:
        stage.chat(voice, response_format=FORM)
    assert failed.value.code == "response_format_unsatisfied"


@pytest.mark.parametrize("voice", [voice for voice in VOICES if not voice.startswith("ollama")])
def test_an_answer_that_was_too_long_says_so(aimock: Aimock, stage: Stage, voice: str) -> None:
    aimock.tell({"match": {}, "response": {"content": "Half", "finishReason": "length"}})
    heard = stage.streamed(voice, max_tokens=5)
    assert (heard.text, heard.reasons) == ("Half", ["length"])
    assert stage.chat(voice, max_tokens=5).choices[0].finish_reason == "length"


def test_a_slow_answer_is_a_whole_one(aimock: Aimock, stage: Stage, voice: str) -> None:
    aimock.tell({"match": {}, "response": {"content": LONG}, "chunkSize": 8, "streamingProfile": {"ttft": 150, "tps": 100}})
    heard = stage.streamed(voice)
    assert (heard.text, heard.reasons) == (LONG, ["stop"])


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_ends_in_stop(aimock: Aimock, stage: Stage, voice: str, fault: str) -> None:
    code, status, word = CODES[fault]
    aimock.tell({"match": {"model": fault}, **FAULTS[fault]})
    alone = f"{voice}:{asks(voice, fault)}"
    run = stage.run(voice, model=asks(voice, fault))
    assert (run["status"], run["error"]["code"], run["finish_reason"]) == ("failed", code, None)
    with pytest.raises(openai.APIStatusError) as refused:
        stage.chat(alone)
    assert (refused.value.status_code, refused.value.code) == (status, word)
    heard = Heard()
    with pytest.raises(openai.APIError) as broken:
        for chunk in stage.chat(alone, stream=True):
            heard.hear(chunk)
    assert (broken.value.code, heard.reasons) == (word, [])
    assert LONG.startswith(heard.text) and bool(heard.text) is (fault in MIDWAY) and heard.text != LONG


@pytest.mark.parametrize("fault", FAULTS)
def test_where_one_fails_the_next_answers_and_nothing_is_doubled(aimock: Aimock, stage: Stage, voice: str, fault: str) -> None:
    aimock.tell(
        {"match": {"model": f"first-{fault}"}, **FAULTS[fault]}, {"match": {"model": "spare"}, "response": {"content": SPARE}}
    )
    agent, metadata = f"{voice}-falls", {"fault": fault}
    run = stage.run(agent, metadata=metadata)
    assert (run["status"], run["output"]) == ("completed", {"text": SPARE})
    seen = story(stage.api, run["id"])
    (failed,) = [event.data for event in seen if event.type == "model_retrying"]
    assert (failed["code"], failed["next"], text_of(seen)) == (CODES[fault][0], "spare/spare", SPARE)
    assert stage.chat(agent, metadata=metadata).choices[0].message.content == SPARE
    if fault in MIDWAY:
        heard = Heard()
        with pytest.raises(openai.APIError) as broken:
            for chunk in stage.chat(agent, metadata=metadata, stream=True):
                heard.hear(chunk)
        assert (broken.value.code, heard.reasons) == ("model_failed_midway", [])
        assert heard.text and LONG.startswith(heard.text)
    else:
        heard = stage.streamed(agent, metadata=metadata)
        assert (heard.text, heard.reasons) == (SPARE, ["stop"])


def test_a_pause_that_is_asked_for_is_made(aimock: Aimock, stage: Stage) -> None:
    later = {"response": {"content": WORDS}}
    aimock.tell(
        *[
            {"match": {"model": f"patient-{voice}", "sequenceIndex": turn}, **answer}
            for voice in VOICES
            for turn, answer in enumerate((refuses(429, retryAfter=1), later))
        ]
    )
    with ThreadPoolExecutor(len(VOICES)) as pool:
        runs = list(pool.map(lambda voice: stage.run(f"{voice}-patient"), VOICES))
    for run in runs:
        assert (run["status"], run["output"]) == ("completed", {"text": WORDS}), run["error"]
        seen = story(stage.api, run["id"])
        (again,) = [event.data for event in seen if event.type == "model_retrying"]
        assert again["code"] == "rate_limit" and again["wait_s"] >= 1
        assert types(seen).count("text_delta") == 1


@pytest.mark.parametrize("voice", [voice for voice in VOICES if voice.startswith("openai")])
def test_embeddings_are_those_that_were_told(aimock: Aimock, stage: Stage, voice: str) -> None:
    aimock.tell({"match": {"inputText": "Grüße"}, "response": {"embedding": [0.5, -0.25, 0.125]}})
    answer = stage.client.embeddings.create(model=f"{voice}/text-embedding-3-small", input=["Grüße"])
    assert answer.data[0].embedding == [0.5, -0.25, 0.125]
