"""Code in a sandbox calls the models of its agent and what the operator lets it reach, and never sees a credential."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from agentrt.containers.station import RUN
from fixtures.code_server import CodeServer, clear, running
from upstreams.http_upstream import Reply, Request
from upstreams.openai_upstream import Gate, OpenAIUpstream, calls, says, wait_until

KEY = "sk-provider-0123456789"
ECHO_KEY = "echo-credential-0123456789"
AGENTS = {
    "reaching": "sandbox: {models: true, upstreams: [echo]}\n",
    "modest": "sandbox: {upstreams: []}\n",
    "short": "sandbox: {models: true}\nbudgets: {steps: 2}\n",
}
WAIT = "import os, time\nopen('begun', 'w').close()\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('went')"
ASK = """
import json, os, urllib.request, urllib.error

def ask(url, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()

def chat(text, model="reaching", **more):
    return ask(os.environ["OPENAI_BASE_URL"] + "/chat/completions",
               {"model": model, "messages": [{"role": "user", "content": text}], **more}, authorization="Bearer dummy")
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenAIUpstream]:
    upstream = OpenAIUpstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def echo() -> Iterator[OpenAIUpstream]:
    """An upstream that reflects all it is sent."""

    def reflect(request: Request) -> Reply:
        told = {"path": request.path, "headers": request.headers, "body": request.body}
        return Reply([json.dumps(told).encode()], headers=(("content-type", "application/json"),))

    upstream = OpenAIUpstream()
    upstream.answer = reflect
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def server(
    code_engine: str, provider: OpenAIUpstream, echo: OpenAIUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CodeServer]:
    home = tmp_path_factory.mktemp(f"out-{code_engine}")
    (home / "agents").mkdir()
    for name, text in AGENTS.items():
        known = "model: [openai/gpt-4o-mini]\nretry: {attempts: 1}\ntools: ['*']\n"
        (home / "agents" / f"{name}.yaml").write_text(f"name: {name}\n{known}{text}")
    entry = {
        "origin": echo.base_url.removesuffix("/v1"),
        "header": "authorization",
        "value": "Bearer ${ECHO_KEY}",
        "paths": ["/open/*"],
    }
    (home / "agentrt.yaml").write_text(json.dumps({"containers": {"upstreams": {"echo": entry}}}))
    env = {
        "OPENAI_BASE_URL": provider.base_url,
        "OPENAI_API_KEY": KEY,
        "ECHO_KEY": ECHO_KEY,
        "AGENTRT_CONFIG": str(home / "agents"),
        "AGENTRT_DEFAULT_AGENT": "reaching",
    }
    try:
        with running(code_engine, home, **env) as running_server:
            yield running_server
    finally:
        clear(code_engine, home)


@pytest.fixture(autouse=True)
def fresh(provider: OpenAIUpstream, echo: OpenAIUpstream) -> None:
    provider.reset()
    echo.reset()


def start(server: CodeServer, provider: OpenAIUpstream, code: str, *replies: Any, agent: str = "reaching") -> httpx2.Response:
    """A run whose model has `code` executed; what the models of its code answer; then it is done."""
    provider.script(calls(("execute_python", {"code": code, "stateful": False})), *replies, says("done"))
    with server.client() as http:
        return http.post("/runs?wait=40", json={"input": "go", "agent": agent})


def events_of(server: CodeServer, run_id: str) -> list[dict[str, Any]]:
    with server.client() as http:
        text = http.get(f"/runs/{run_id}/events").text
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def printed(server: CodeServer, run_id: str) -> str:
    (done,) = [event for event in events_of(server, run_id) if event["type"] == "tool_completed"]
    assert done["result"]["structured"]["exit_code"] == 0, done["result"]["structured"]
    return done["result"]["structured"]["stdout"]


def test_code_asks_the_models_of_its_agent_on_its_runs_account(server: CodeServer, provider: OpenAIUpstream) -> None:
    run = start(
        server, provider, ASK + "print(json.loads(chat('2 + 2?')[1])['choices'][0]['message']['content'])", says("four")
    ).json()
    assert printed(server, run["id"]) == "four\n"
    assert run["status"] == "completed", run
    told = events_of(server, run["id"])
    (spent,) = [event for event in told if event["type"] == "child_spent"]
    (asked,) = [event for event in told if event["type"] == "egress_requested"]
    assert (asked["upstream"], asked["path"], asked["status"]) == ("models", "/v1/chat/completions", 200)
    with server.client() as http:
        child = http.get(f"/runs/{spent['child_run_id']}").json()
    assert (child["parent_run_id"], child["status"], child["output"]["text"]) == (run["id"], "completed", "four")
    assert run["usage"]["total_tokens"] == 3 * child["usage"]["total_tokens"]
    (_, chat, _) = provider.chats
    assert chat.headers["authorization"] == f"Bearer {KEY}"
    assert [message["content"] for message in chat.body["messages"]] == ["2 + 2?"]


def test_nothing_but_the_gateway_is_there(server: CodeServer, provider: OpenAIUpstream) -> None:
    code = (
        ASK
        + """
base = os.environ["OPENAI_BASE_URL"]
root = base.removesuffix("/v1")
print([m["id"] for m in json.loads(ask(base + "/models")[1])["data"]])
for url in (root + "/runs", root + "/sessions", root + "/health", root + "/sandboxes", base + "/files", base + "/capabilities",
            root + "/v1/../runs", root + "/echo/closed"):
    print(ask(url)[0], end=" ")
for model in ("openai/gpt-5.5", "modest", "gpt-4o", "reaching:gpt-4o", "nothing", "offline/offline"):
    print(chat("x", model)[0], end=" ")
print(chat("x", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/x"}}]}])[0])
print(ask(base + "/embeddings", {"model": "text-embedding-3-small", "input": "x"})[0])
"""
    )
    run = start(server, provider, code).json()
    models, statuses, embeddings = printed(server, run["id"]).splitlines()
    assert models == "['reaching', 'openai/gpt-4o-mini']"
    assert statuses.split() == [*["404"] * 7, "403", *["404"] * 6, "400"]
    assert embeddings == "404"
    assert len(provider.chats) == 2


def test_an_upstream_is_called_with_its_credential_which_is_nowhere_inside(
    server: CodeServer, provider: OpenAIUpstream, echo: OpenAIUpstream
) -> None:
    code = (
        ASK
        + """
print(ask(os.environ["ECHO_BASE_URL"] + "/open/x", {"a": 1}, authorization="Bearer dummy"))
seen = [json.dumps(dict(os.environ))]
for folder, _, files in os.walk("/"):
    if folder.startswith(("/usr", "/opt/sandbox", "/lib", "/sys", "/dev")):
        continue
    for name in files:
        try:
            with open(os.path.join(folder, name), "rb") as file:
                seen.append(file.read(1_000_000).decode("latin-1"))
        except OSError:
            pass
print(len(seen) > 20, any(("echo-cred" + "ential") in text or ("sk-prov" + "ider") in text for text in seen))
"""
    )
    run = start(server, provider, code).json()
    told, searched = printed(server, run["id"]).splitlines()
    assert ECHO_KEY not in told and "*" * len(ECHO_KEY) in told
    assert searched == "True False"
    (request,) = echo.requests
    assert (request.headers["authorization"], request.body) == (f"Bearer {ECHO_KEY}", {"a": 1})
    assert ECHO_KEY not in json.dumps(events_of(server, run["id"]))
    assert ECHO_KEY not in server.log


def test_who_was_given_nothing_reaches_nothing(server: CodeServer, provider: OpenAIUpstream) -> None:
    code = """
import os, socket
found = []
for place in ("/run/agentrt/proxy.sock", ("127.0.0.1", 17080)):
    with socket.socket(socket.AF_UNIX if isinstance(place, str) else socket.AF_INET) as there:
        try:
            there.connect(place)
            there.sendall(b"GET /echo/open/x HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
            found.append(there.recv(4096).split(b" ")[1].decode())
        except OSError as exc:
            found.append(type(exc).__name__)
print(found, "OPENAI_BASE_URL" in os.environ, "ECHO_BASE_URL" in os.environ)
"""
    run = start(server, provider, code, agent="modest").json()
    assert printed(server, run["id"]) == "['403', 'ConnectionRefusedError'] False False\n"


def test_the_budget_holds_while_the_code_still_runs(server: CodeServer, provider: OpenAIUpstream) -> None:
    code = ASK + "print([chat(str(n), 'short')[0] for n in range(3)])"
    run = start(server, provider, code, says("one"), agent="short").json()
    assert printed(server, run["id"]) == "[200, 429, 429]\n"
    assert (run["status"], run["error"]["code"]) == ("failed", "budget_exceeded")
    assert len(provider.chats) == 2


class Held:
    """A run whose code waits, and the socket of its box, as seen from the host."""

    def __init__(self, server: CodeServer, provider: OpenAIUpstream) -> None:
        self._server = server
        provider.script(calls(("execute_python", {"code": WAIT, "stateful": False})))
        with server.client() as http:
            self.id: str = http.post("/runs", json={"input": "go", "agent": "reaching", "session_id": "held"}).json()["id"]
        wait_until(lambda: any(event["type"] == "tool_started" for event in self._told()), 30)

    def _sockets(self) -> list[Path]:
        instance = (self._server.home / "data" / "containers" / "instance").read_text()
        return sorted((RUN / instance).rglob("proxy.sock"))

    def _told(self) -> list[dict[str, Any]]:
        with self._server.client() as http, http.stream("GET", f"/runs/{self.id}/events") as answer:
            told: list[dict[str, Any]] = []
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    told.append(json.loads(line[6:]))
                if told and told[-1]["type"] == "tool_started":
                    break
            return told

    def sdk(self) -> openai.OpenAI:
        """The official SDK on the box's own socket: the one on which a model list is given."""

        def found() -> Path | None:
            for place in self._sockets():
                with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(place)), base_url="http://localhost") as http:
                    if http.get("/v1/models").status_code == 200:
                        return place
            return None

        wait_until(lambda: found() is not None, 30)
        http = httpx2.Client(transport=httpx2.HTTPTransport(uds=str(found())))
        return openai.OpenAI(base_url="http://localhost/v1", api_key="dummy", max_retries=0, http_client=http)


@pytest.fixture
def held(server: CodeServer, provider: OpenAIUpstream) -> Iterator[Callable[[], Held]]:
    made: list[Held] = []

    def hold() -> Held:
        made.append(Held(server, provider))
        return made[-1]

    yield hold
    with server.client() as http:
        for one in made:
            http.post(f"/runs/{one.id}/cancel")


def test_the_official_sdk_speaks_on_the_socket_as_on_the_api(
    server: CodeServer, provider: OpenAIUpstream, held: Callable[[], Held]
) -> None:
    run = held()
    with run.sdk() as sdk:
        assert [model.id for model in sdk.models.list()] == ["reaching", "openai/gpt-4o-mini"]
        assert sdk.models.retrieve("openai/gpt-4o-mini").id == "openai/gpt-4o-mini"
        with pytest.raises(openai.NotFoundError):
            sdk.models.retrieve("modest")
        messages: Any = [{"role": "user", "content": "hello"}]
        provider.script(says("streamed answer"), says("whole answer"))
        chunks = list(sdk.chat.completions.create(model="openai/gpt-4o-mini", messages=messages, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "streamed answer"
        named = {"x-session-id": "held", "x-user-id": "mallory", "x-on-disconnect": "continue"}
        raw = sdk.chat.completions.with_raw_response.create(
            model="agent", messages=messages, user="mallory", extra_headers=named, metadata={"session_id": "held"}
        )
        assert raw.parse().choices[0].message.content == "whole answer"
        assert raw.headers["x-session-id"] not in ("held", "")
        with server.client() as http:
            assert http.get(f"/runs/{raw.headers['x-run-id']}").json()["parent_run_id"] == run.id


def test_cancelling_the_run_ends_what_its_code_asked(
    server: CodeServer, provider: OpenAIUpstream, held: Callable[[], Held]
) -> None:
    run, gate = held(), Gate()
    with run.sdk() as sdk:
        provider.script(Reply([gate]))
        failed: list[Exception] = []

        def ask() -> None:
            try:
                sdk.chat.completions.create(model="agent", messages=[{"role": "user", "content": "x"}])
            except Exception as exc:
                failed.append(exc)

        thread = threading.Thread(target=ask)
        thread.start()
        asked = provider.wait_for_chat(2)
        with server.client() as http:
            assert http.post(f"/runs/{run.id}/cancel").json()["status"] == "cancelled"
        assert asked.hung_up.wait(30), "the provider was let go"
        thread.join(30)
        assert len(failed) == 1
        with server.client() as http:
            children = [r for r in http.get("/runs?limit=5").json()["data"] if r["parent_run_id"] == run.id]
        assert [child["status"] for child in children] == ["cancelled"]
