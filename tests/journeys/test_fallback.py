"""Two providers, one of which fails in every way: no doubled text, no silent stump, and every attempt on record."""

import json
from collections.abc import Iterator

import httpx2
import openai
import pytest

from fixtures.live_server import LiveServer
from fixtures.postgres import free_port
from fixtures.watching import story, text_of, types, watching
from upstreams.openai_upstream import Gate, OpenAIUpstream, Reply, refuses, says, streams

HI = [{"role": "user", "content": "hi"}]
WORDS = "A whole answer, given once."
CHAIN = "model: [main/one, spare/two]\n"
AGENTS = {
    "default": CHAIN,
    "patient": CHAIN + "retry: {attempts: 2, backoff: 0}\n",
    "goes-on": "model: [{model: main/one, continue: true}, spare/two]\n",
    "picky": "model:\n  - {model: main/one, when: metadata.tier == 'gold'}\n  - {model: spare/two, when: '!vision'}\n",
    "hasty": "model: main/one\nlimits: {first_token: 0.2}\n",
    "fidgety": "model: main/one\nlimits: {idle: 0.2}\n",
    "fenced": "model: [fenced/one, spare/two]\n",
    "alone": "model: main/one\n",
}


class Pair:
    """A server with two providers: `main` is scripted to fail, `spare` answers WORDS; `fenced` is main under another name."""

    def __init__(self, home) -> None:
        self.main, self.spare = OpenAIUpstream(), OpenAIUpstream(says(WORDS))
        (home / "agents").mkdir()
        for name, text in AGENTS.items():
            retry = "" if "retry" in text else "retry: {attempts: 1}\n"
            (home / "agents" / f"{name}.yaml").write_text(f"name: {name}\n{retry}{text}")
        env = {
            "AGENTRT_CONFIG": str(home / "agents"),
            "AGENTRT_PROVIDERS__MAIN__BASE_URL": self.main.base_url,
            "AGENTRT_PROVIDERS__SPARE__BASE_URL": self.spare.base_url,
            "AGENTRT_PROVIDERS__SPARE__PREFIX": "true",
            "AGENTRT_PROVIDERS__FENCED__BASE_URL": self.main.base_url,
        }
        self.server = LiveServer(home, (), env, free_port())
        self.server.wait_healthy()
        self.api = httpx2.Client(base_url=self.server.url, timeout=50)
        self.client = openai.OpenAI(base_url=self.server.url + "/v1", api_key="-", max_retries=0)

    def close(self) -> None:
        self.api.close()
        self.client.close()
        assert self.server.terminate() == 0, self.server.log
        assert "Traceback" not in self.server.log
        self.main.close()
        self.spare.close()

    def run(self, agent="default", **more):
        return self.api.post("/runs?wait=30", json={"input": "hi", "agent": agent, **more}).json()

    def attempts(self, run_id):
        retries = [event.data for event in story(self.api, run_id) if event.type == "model_retrying"]
        return [(data["model"], data["code"], data.get("next", "")) for data in retries]

    def newest(self):
        return self.api.get("/runs?limit=1").json()["data"][0]

    def ended(self, run_id):
        """The run once it has ended."""
        story(self.api, run_id)
        return self.api.get(f"/runs/{run_id}").json()


@pytest.fixture(scope="module")
def pair_of_providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    pair = Pair(tmp_path_factory.mktemp("fallback"))
    yield pair
    pair.close()


@pytest.fixture
def pair(pair_of_providers: Pair) -> Pair:
    """With nothing scripted, and a breaker that has seen more good than bad: tests must not trip it for each other."""
    pair_of_providers.main.reset()
    pair_of_providers.spare.reset()
    for _ in range(4):
        assert pair_of_providers.run("alone")["status"] == "completed"
    pair_of_providers.main.reset()
    return pair_of_providers


BEFORE_THE_FIRST_WORD = {
    "401": (refuses(401, "bad key"), "authentication"),
    "404": (refuses(404, "no such model", "model_not_found"), "not_found"),
    "429": (refuses(429, "slow down"), "rate_limit"),
    "500": (refuses(500), "server_error"),
    "503": (refuses(503), "overloaded"),
    "529": (refuses(529), "overloaded"),
    "page": (Reply([b"<html>Bad Gateway</html>"], 502, (("content-type", "text/html"),)), "server_error"),
    "cut": (Reply(status=0, end="cut"), "connection"),
    "reset": (Reply(status=0, end="reset"), "connection"),
    "clean early end": (Reply([]), "truncated"),
    "malformed": (Reply([b"data: {oops\n\n"]), "malformed"),
    "error in the stream": (Reply([b'data: {"error":{"message":"overloaded","type":"overloaded_error"}}\n\n']), "overloaded"),
}


@pytest.mark.parametrize(("reply", "code"), BEFORE_THE_FIRST_WORD.values(), ids=BEFORE_THE_FIRST_WORD)
def test_a_failure_before_the_first_word_is_not_noticed_by_who_reads(pair, reply, code):
    pair.main.script(*[reply] * 4)  # a used connection that ends without a byte is replaced once
    run = pair.run()
    assert (run["status"], run["output"]["text"]) == ("completed", WORDS)
    assert pair.attempts(run["id"]) == [("one", code, "spare/two")]
    chunks = list(pair.client.chat.completions.create(model="default", messages=HI, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == WORDS
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_what_was_asked_wrongly_and_what_is_refused_stay_where_they_are(pair):
    for code, told in (("content_filter", "content_filter"), ("invalid_value", "invalid_request")):
        pair.main.script(refuses(400, "no", code))
        assert pair.run()["error"]["code"] == told
    assert pair.spare.chats == []


def test_every_attempt_is_told_with_the_step(pair):
    pair.main.script(refuses(503), refuses(500))
    run = pair.run("patient")
    assert pair.attempts(run["id"]) == [("one", "overloaded", ""), ("one", "server_error", "spare/two")]
    (step,) = pair.api.get(f"/runs/{run['id']}/steps").json()["data"]
    assert (step["name"], step["attempts"], step["status"]) == ("two", 3, "completed")
    assert [(tried["model"], tried["error"]["code"], tried["next"]) for tried in step["failed_attempts"]] == [
        ("main/one", "overloaded", None),
        ("main/one", "server_error", "spare/two"),
    ]
    assert all(tried["duration_ms"] > 0 for tried in step["failed_attempts"])
    completed = next(event.data for event in story(pair.api, run["id"]) if event.type == "model_completed")
    assert (completed["model"], completed["provider"]) == ("spare/two", "spare")
    assert (run["provider"], run["model"]) == ("main", "one"), "the run shows what was asked first"


BREAKS = {
    "cut": lambda frames: Reply(frames, end="cut"),
    "reset": lambda frames: Reply(frames, end="reset"),
    "clean early end": lambda frames: Reply(frames),
    "error": lambda frames: Reply([*frames, b'data: {"error":{"message":"died","type":"server_error"}}\n\n']),
    "malformed": lambda frames: Reply([*frames, b"data: {oops\n\n"]),
}


def begun(gate):
    """A reply that begins, and then waits for the gate."""
    return [*streams({"content": "Half of an "}, finish=None).frames, gate]


@pytest.mark.parametrize("breaks", BREAKS.values(), ids=BREAKS)
def test_a_native_reader_sees_what_is_void_and_then_the_whole_answer_once(pair, breaks):
    gate = Gate()
    pair.main.script(breaks(begun(gate)))
    run_id = pair.api.post("/runs", json={"input": "hi"}).json()["id"]
    with watching(pair.api, run_id) as events:
        seen = []
        for event in events:
            seen.append(event)
            if event.type == "text_delta":
                gate.open()
    assert types(seen)[2:] == [
        "text_delta",
        "model_retrying",
        "text_discarded",
        "text_delta",
        "model_completed",
        "final_text",
        "run_completed",
    ]
    assert text_of(seen) == WORDS
    assert text_of(story(pair.api, run_id)) == WORDS
    assert [event.type for event in story(pair.api, run_id)].count("text_delta") == 1, "a replay shows what is valid"
    half = next(event.id for event in seen if event.type == "text_delta")
    assert text_of([*seen[:3], *story(pair.api, run_id, half)]) == WORDS, "an old cursor leads to the same end"
    usage = pair.api.get(f"/runs/{run_id}").json()["usage"]
    assert usage["estimated"] and usage["output_tokens"] > 7, "what was void was paid for too"


@pytest.mark.parametrize("breaks", BREAKS.values(), ids=BREAKS)
def test_a_chat_that_has_shown_text_ends_with_an_error_and_nothing_doubled(pair, breaks):
    gate = Gate()
    pair.main.script(breaks(begun(gate)))
    shown = ""
    with pytest.raises(openai.APIError) as broken:
        for chunk in pair.client.chat.completions.create(model="default", messages=HI, stream=True):
            shown += chunk.choices[0].delta.content or ""
            if shown:
                gate.open()
    assert (shown, broken.value.code) == ("Half of an ", "model_failed_midway")
    assert pair.ended(pair.newest()["id"])["status"] in ("cancelled", "completed")


def test_a_chat_that_is_not_streamed_gets_the_answer_that_counts(pair):
    pair.main.answer = lambda request: says("Half of an ", end="cut") if pair.main.is_chat(request) else None
    try:
        answer = pair.client.chat.completions.create(model="default", messages=HI)
    finally:
        pair.main.answer = lambda request: None
    assert answer.choices[0].message.content == WORDS


def test_where_the_chain_says_so_a_chat_goes_on_in_the_middle_of_a_sentence(pair):
    gate = Gate()
    pair.main.script(Reply(begun(gate), end="cut"))
    pair.spare.script(says("answer."))
    shown = ""
    for chunk in pair.client.chat.completions.create(model="goes-on", messages=HI, stream=True):
        shown += chunk.choices[0].delta.content or ""
        if shown:
            gate.open()
    assert shown == "Half of an answer."
    assert pair.spare.chats[-1].body["messages"][-1] == {"role": "assistant", "content": "Half of an "}
    run = pair.newest()
    assert (run["status"], run["output"]["text"]) == ("completed", "Half of an answer.")
    assert "text_discarded" not in types(story(pair.api, run["id"]))


def test_conditions_choose_by_request_and_a_request_that_none_takes_is_refused(pair):
    assert pair.run("picky", metadata={"tier": "gold"})["model"] == "one"
    assert pair.run("picky")["model"] == "two"
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    with pytest.raises(openai.BadRequestError) as refused:
        pair.client.chat.completions.create(model="picky", messages=[{"role": "user", "content": [picture]}])
    assert refused.value.code == "no_model_for_request" and "!vision" in refused.value.message


def test_who_names_a_model_gets_no_other(pair):
    pair.main.script(refuses(503))
    run = pair.run("default", model="main/one")
    assert (run["status"], run["error"]["code"]) == ("failed", "overloaded")
    assert pair.spare.chats == []


@pytest.mark.parametrize(
    ("agent", "reply", "code"),
    [("hasty", Reply(status=0, end="hang"), "timeout_first_token"), ("fidgety", says("Half", end="hang"), "timeout_idle")],
)
def test_an_agents_own_time_limits_hold_and_each_is_an_error_of_its_own(pair, agent, reply, code):
    pair.main.script(reply, reply)
    assert pair.run(agent)["error"]["code"] == code
    with pytest.raises(openai.InternalServerError) as late:
        pair.client.chat.completions.create(model=agent, messages=HI)
    assert (late.value.status_code, late.value.code) == (504, "provider_timeout")
    for request in pair.main.chats:
        assert request.hung_up.wait(30), "a provider that is too late is hung up on"


def test_cancelling_hangs_up_at_once_and_asks_nobody_else(pair):
    pair.main.script(says("Half", end="hang"))
    run_id = pair.api.post("/runs", json={"input": "hi"}).json()["id"]
    request = pair.main.wait_for_chat()
    assert pair.api.post(f"/runs/{run_id}/cancel").json()["status"] == "cancelled"
    assert request.hung_up.wait(30)
    assert pair.spare.chats == []


def test_a_provider_that_is_down_is_passed_over_at_once_and_health_says_so(pair):
    pair.main.script(*[refuses(500)] * 5)
    for _ in range(5):
        assert pair.run("fenced")["output"]["text"] == WORDS
    asked = len(pair.main.chats)
    run = pair.run("fenced")
    assert run["output"]["text"] == WORDS and len(pair.main.chats) == asked
    assert pair.attempts(run["id"]) == [("one", "circuit_open", "spare/two")]
    (step,) = pair.api.get(f"/runs/{run['id']}/steps").json()["data"]
    assert step["attempts"] == 1, "who was not asked made no attempt"
    unwell = pair.api.get("/health").json()["modules"]["providers"]["detail"]["fenced"]["unwell"]
    assert unwell["one"]["breaker"] == "open"
    assert "model.circuit_open" in pair.server.log


def test_a_rest_that_a_provider_asks_for_is_kept(pair):
    pair.main.script(refuses(429, "slow down", retry_after="60"))
    first, second = pair.run("patient"), pair.run("patient")
    assert [run["output"]["text"] for run in (first, second)] == [WORDS, WORDS]
    assert pair.attempts(first["id"]) == [("one", "rate_limit", "spare/two")]
    assert pair.attempts(second["id"]) == [("one", "cooling_down", "spare/two")]
    assert len(pair.main.chats) == 1
    assert json.dumps(pair.api.get("/health").json()).count("rests_s") == 1
