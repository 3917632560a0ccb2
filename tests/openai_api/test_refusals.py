"""What goes wrong around a chat, as the OpenAI SDK and bare clients see it, against the real server."""

import json
import socket
import urllib.request
from typing import Any

import httpx2
import openai
import pytest

from fixtures.live_server import LiveServer
from upstreams.openai_upstream import Gate, Reply, calls, chunk, event, page, refuses, says, wait_until

HI: Any = [{"role": "user", "content": "hi"}]


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reply", "error", "code"),
    [
        (refuses(401, "bad key sk-abcdefgh"), openai.InternalServerError, "provider_authentication"),
        (refuses(429), openai.RateLimitError, "rate_limit_exceeded"),
        (refuses(500), openai.InternalServerError, "server_error"),
        (refuses(503), openai.InternalServerError, "provider_overloaded"),
        (refuses(400, "context_length", "context_length_exceeded"), openai.BadRequestError, "context_length_exceeded"),
        (refuses(400, "bad"), openai.BadRequestError, "invalid_request"),
        (page(), openai.InternalServerError, "malformed"),
        (Reply(status=0, end="reset"), openai.InternalServerError, "connection"),
    ],
)
def test_a_provider_that_fails_has_its_status_also_on_a_stream(client, upstream, reply, error, code, stream):
    upstream.script(reply)
    with pytest.raises(error) as caught:
        client.chat.completions.create(model="default", messages=HI, stream=stream)
    assert caught.value.code == code
    assert caught.value.response.headers["x-run-id"].startswith("run_")
    assert "sk-" not in str(caught.value)


def test_a_stream_that_breaks_after_its_first_word_ends_with_an_error(client, upstream):
    upstream.script(says("Hello there", end="cut"))
    said = []
    with pytest.raises(openai.APIError) as caught:
        for piece in client.chat.completions.create(model="default", messages=HI, stream=True):
            said.append(piece.choices[0].delta.content or "")
    assert "".join(said) == "Hello there"
    assert caught.value.code in ("truncated", "connection")


def test_a_budget_that_is_spent_is_said(client, upstream):
    upstream.script(calls(("clock", {})), calls(("clock", {})))
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="worker", messages=HI)
    assert caught.value.code == "budget_exceeded"
    assert caught.value.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_that_hangs_up_cancels_its_run(server, upstream, stream):
    gate = Gate()
    upstream.script(Reply([event(chunk({"content": "Hel"})), gate]))
    connection = post(server, {"model": "default", "messages": HI, "stream": stream})
    asked = upstream.wait_for_chat()
    assert gate.reached.wait(30)
    connection.close()
    assert asked.hung_up.wait(30)
    newest = newest_run(server)
    wait_until(lambda: fetch(f"{server.url}/runs/{newest}")["status"] == "cancelled")


def test_a_run_outlives_its_caller_on_request(server, upstream):
    gate = Gate()
    upstream.script(Reply([event(chunk({"content": "Hel"})), gate, *says("lo").frames[1:]]))
    connection = post(server, {"model": "default", "messages": HI, "stream": True}, "X-On-Disconnect: continue")
    upstream.wait_for_chat()
    assert gate.reached.wait(30)
    connection.close()
    gate.open()
    newest = newest_run(server)
    wait_until(lambda: fetch(f"{server.url}/runs/{newest}")["status"] == "completed")
    assert fetch(f"{server.url}/runs/{newest}")["output"]["text"] == "Hello"


def test_a_stream_that_the_server_ends_says_that_it_shuts_down(serve, upstream):
    gate = Gate()
    upstream.script(Reply([event(chunk({"content": "Hel"})), gate]))
    off = {"AGENTRT_MODULES__MCP_REGISTRY": "false", "AGENTRT_SHUTDOWN_GRACE_S": "0.2"}
    with (
        serve(OPENAI_BASE_URL=upstream.base_url, OPENAI_API_KEY="sk-test", **off) as server,
        openai.OpenAI(base_url=server.url + "/v1", api_key="-", max_retries=0) as client,
    ):
        stream = client.chat.completions.create(model="openai/gpt-4o-mini", messages=HI, stream=True)
        assert next(iter(stream)).choices[0].delta.role == "assistant"
        server.process.terminate()
        with pytest.raises(openai.APIError) as caught:
            list(stream)
        assert caught.value.code == "server_shutting_down"
        assert server.process.wait(30) == 0


def post(server: LiveServer, body: Any, *headers: str) -> socket.socket:
    """A request on a bare socket, whose answer nobody has read."""
    data = json.dumps(body).encode()
    host, _, port = server.url.removeprefix("http://").partition(":")
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        f"Content-Length: {len(data)}",
    )
    connection = socket.create_connection((host, int(port)), 10)
    connection.sendall("\r\n".join((*lines, *headers, "", "")).encode() + data)
    return connection


def newest_run(server: LiveServer) -> str:
    return fetch(f"{server.url}/runs?limit=1")["data"][0]["id"]


@pytest.mark.parametrize(
    ("body", "error", "param"),
    [
        ({"model": "nobody", "messages": HI}, openai.NotFoundError, "model"),
        ({"model": "default:nothing", "messages": HI}, openai.NotFoundError, "model"),
        ({"model": "anthropic/claude-sonnet-4-5", "messages": HI}, openai.BadRequestError, "model"),
        ({"model": "default", "messages": []}, openai.BadRequestError, "messages"),
        ({"model": "default", "messages": HI, "temprature": 1}, openai.BadRequestError, "temprature"),
        ({"model": "default", "messages": HI, "n": 2}, openai.BadRequestError, "n"),
        ({"model": "default", "messages": HI, "temperature": 5}, openai.BadRequestError, "temperature"),
        (
            {"model": "default", "messages": HI, "tool_choice": {"type": "function", "function": {"name": "nope"}}},
            openai.BadRequestError,
            "tool_choice",
        ),
        (
            {"model": "default", "messages": HI, "tools": [{"type": "function", "function": {"name": "clock"}}]},
            openai.BadRequestError,
            "tools[0].function.name",
        ),
        (
            {"model": "default", "messages": [{"role": "tool", "tool_call_id": "c1", "content": "x"}]},
            openai.BadRequestError,
            "messages[0].tool_call_id",
        ),
    ],
)
def test_bad_input_is_the_right_exception_that_names_its_place(client, body, error, param):
    with pytest.raises(error) as caught:
        client.post("/chat/completions", body=body, cast_to=object)
    assert caught.value.param == param
    assert set(caught.value.body) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("method", "path", "content", "media_type", "status", "code"),
    [
        ("POST", "/v1/chat/completions", b'{"model"', "application/json", 400, "invalid_json"),
        ("POST", "/v1/chat/completions", b"\xff", "application/json", 400, "invalid_json"),
        ("POST", "/v1/chat/completions", b"{}", "text/plain", 415, "unsupported_media_type"),
        ("POST", "/v1/chat/completions", b" " * 2_000_001, "application/json", 413, "request_too_large"),
        ("GET", "/v1/chat/completions", None, None, 405, "method_not_allowed"),
        ("GET", "/v1/models/nobody", None, None, 404, "model_not_found"),
        ("GET", "/v1/nothing", None, None, 404, "not_found"),
    ],
)
def test_every_refusal_has_openais_shape(server, method, path, content, media_type, status, code):
    headers = {"content-type": media_type} if media_type else {}
    answer = httpx2.request(method, server.url + path, content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"]


def test_a_body_in_chunks_is_limited_too(server):
    def pieces():
        for _ in range(30):
            yield b" " * 100_000

    answer = httpx2.post(server.url + "/v1/chat/completions", content=pieces(), headers={"content-type": "application/json"})
    assert answer.status_code == 413
