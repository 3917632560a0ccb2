"""Requests that cannot be served, and how that is said: the right code in the right shape, and the server keeps serving."""

import json
import socket
from urllib.parse import urlsplit

import pytest

CHAT = {"model": "default", "messages": [{"role": "user", "content": "Say hello!"}]}
JSON = {"content-type": "application/json"}
NO_RUN = "run_00000000000000000000000000000000"


@pytest.fixture
def api(shipped, connect):
    return connect(shipped)


def problem(answer, status, code):
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), body
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["status"] == status and body["title"] and body["type"] == "about:blank"
    assert body["detail"] and "Traceback" not in body["detail"]
    return body


def openai_error(answer, status, code):
    body = answer.json()
    assert (answer.status_code, body["error"]["code"]) == (status, code), body
    assert answer.headers["content-type"] == "application/json"
    assert body["error"].keys() == {"message", "type", "param", "code"} and body["error"]["message"]
    return body["error"]


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"{", 400, "invalid_json", None),
        (b"", 400, "invalid_request", None),
        (b"[]", 400, "invalid_request", None),
        (b'{"input": "\xff"}', 400, "invalid_json", None),
        (b'{"input": "x", "metadata": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001, 400, "invalid_json", None),
        (b'{"input": "x", "session_id": "a/b"}', 400, "invalid_request", "session_id"),
        (b'"text"', 400, "invalid_request", None),
        (b"{}", 400, "invalid_request", "input"),
        (b'{"input": "half a pair: \\ud83e"}', 400, "invalid_json", None),
        (b'{"input": 5}', 400, "invalid_request", "input"),
        (b'{"input": "  "}', 400, "empty_input", "input"),
        (b'{"input": "x", "messages": []}', 400, "invalid_request", "input"),
        (b'{"messages": []}', 400, "empty_messages", "messages"),
        (b'{"messages": [{"role": "user"}]}', 400, "invalid_request", "messages[0].content"),
        (b'{"messages": [{"role": "tool", "content": "x"}]}', 400, "invalid_request", "messages[0].role"),
        (b'{"input": "x", "inptu": "x"}', 400, "invalid_request", "inptu"),
        (b'{"input": "x", "mode": "fast"}', 400, "invalid_request", "mode"),
        (b'{"input": "x", "agent": "nobody"}', 404, "agent_not_found", "agent"),
        (b'{"input": "x", "model": "nothing/at-all"}', 404, "model_not_found", "model"),
        (b'{"input": "x", "model": "openai/gpt-5.5"}', 400, "provider_not_configured", "model"),
        (b'{"input": "x", "session_id": "a b"}', 400, "invalid_request", "session_id"),
        (b'{"input": "x", "session_id": "sess_00000000000000000000000000000000"}', 404, "session_not_found", None),
    ],
)
def test_a_run_that_cannot_be_started_says_why(api, body, status, code, param):
    said = problem(api.post("/runs", content=body, headers=JSON), status, code)
    assert said.get("param") == param


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/runs/../../etc/passwd", 404, "not_found"),
        ("GET", "/runs/not-an-id", 404, "run_not_found"),
        ("GET", f"/runs/{NO_RUN}", 404, "run_not_found"),
        ("GET", f"/runs/{NO_RUN}/events", 404, "run_not_found"),
        ("GET", f"/runs/{NO_RUN}/steps", 404, "run_not_found"),
        ("POST", f"/runs/{NO_RUN}/cancel", 404, "run_not_found"),
        ("GET", "/runs?limit=0", 400, "invalid_request"),
        ("GET", "/runs?limit=1000", 400, "invalid_request"),
        ("GET", "/runs?limit=many", 400, "invalid_request"),
        ("GET", "/runs?status=done", 400, "invalid_request"),
        ("GET", "/runs?after=nonsense", 400, "invalid_request"),
        ("GET", "/runs?stauts=failed", 400, "unknown_parameter"),
        ("GET", "/sessions?offset=20", 400, "unknown_parameter"),
        ("GET", "/runs?status=failed&status=completed", 400, "repeated_parameter"),
        ("GET", f"/runs/{NO_RUN}/events?from=3", 400, "unknown_parameter"),
        ("DELETE", "/sessions/nobody?Force=true", 400, "unknown_parameter"),
        ("GET", "/runs?agent=a%00b", 400, "invalid_address"),
        ("GET", "/sessions/a%00b", 400, "invalid_address"),
        ("GET", "/sessions/nobody", 404, "session_not_found"),
        ("GET", "/sessions/nobody/messages", 404, "session_not_found"),
        ("DELETE", "/sessions/nobody", 404, "session_not_found"),
        ("GET", "/sessions?after=nobody", 400, "invalid_request"),
        ("GET", "/mcp-servers/nobody", 404, "mcp_server_not_found"),
        ("DELETE", "/runs", 405, "method_not_allowed"),
        ("PUT", "/health", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there_or_makes_no_sense_is_a_problem(api, method, path, status, code):
    answer = api.request(method, path)
    problem(answer, status, code)
    assert ("allow" in answer.headers) == (status == 405)


def test_every_list_has_the_same_shape(api):
    run = api.post("/runs?wait=30", json={"input": "Say hello!", "session_id": "shape"}).json()["id"]
    of_run = (f"/runs/{run}/steps", f"/runs/{run}/artifacts")
    for path in ("/runs", "/sessions", "/sessions/shape/messages", *of_run, "/mcp-servers", "/v1/files"):
        listed = api.get(path).json()
        assert listed.keys() == {"object", "data", "has_more", "first_id", "last_id"} and listed["object"] == "list", path


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("GET", "/v1", None, 404, "not_found"),
        ("GET", "/v1/nothing", None, 404, "not_found"),
        ("POST", "/v1/audio/speech", b"{}", 404, "not_found"),
        ("GET", "/v1/chat/completions", None, 405, "method_not_allowed"),
        ("GET", "/v1/models/nobody", None, 404, "model_not_found"),
        ("GET", "/v1/files?limit=0", None, 400, "invalid_request"),
        ("GET", "/v1/files?limit=10001", None, 400, "invalid_request"),
        ("GET", "/v1/files?after=nonsense", None, 400, "invalid_request"),
        ("POST", "/v1/chat/completions", b"{", 400, "invalid_json"),
        ("POST", "/v1/chat/completions", json.dumps(CHAT | {"model": "gpt-4"}).encode(), 400, "provider_not_configured"),
        ("POST", "/v1/chat/completions", json.dumps(CHAT | {"model": "defualt"}).encode(), 404, "model_not_found"),
    ],
)
def test_under_v1_it_is_openais_error(api, method, path, content, status, code):
    openai_error(api.request(method, path, content=content, headers=JSON if content else {}), status, code)


@pytest.mark.parametrize("path", ["/runs", "/v1/chat/completions"])
@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", ""])
def test_a_body_that_is_not_declared_as_json_starts_nothing(api, path, media_type):
    """A web page could send it from anybody's browser without being asked."""
    headers = {"content-type": media_type} if media_type else {}
    answer = api.post(path, content=json.dumps(CHAT).encode(), headers=headers)
    check = openai_error if path.startswith("/v1") else problem
    check(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("path", ["/runs", "/v1/chat/completions"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_body_is_refused(api, path, chunked):
    big = b'{"input": "' + b"a" * 32_000_001 + b'"}'
    pieces = (big[start : start + 1_000_000] for start in range(0, len(big), 1_000_000))
    answer = api.post(path, content=pieces if chunked else big, headers=JSON)
    check = openai_error if path.startswith("/v1") else problem
    check(answer, 413, "request_too_large")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"origin": "http://evil.example"}, "origin_not_allowed"),
        ({"origin": "null"}, "origin_not_allowed"),
        ({"host": "evil.example"}, "host_not_allowed"),
    ],
)
def test_pages_from_elsewhere_are_kept_out(api, headers, code):
    problem(api.get("/runs", headers=headers), 403, code)
    openai_error(api.post("/v1/chat/completions", json=CHAT, headers=headers), 403, code)


def test_a_page_of_this_machine_may_call_and_read(api):
    origin = {"origin": "http://localhost:3000"}
    asked = {**origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    allowed = api.options("/v1/chat/completions", headers=asked)
    assert allowed.status_code == 204 and allowed.headers["access-control-allow-headers"] == "authorization"
    answer = api.post("/v1/chat/completions", json=CHAT, headers=origin)
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == origin["origin"]
    assert "x-run-id" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in api.get("/health").headers


def test_head_answers_like_get_without_a_body(api):
    for path in ("/health", "/v1/models", "/docs"):
        head = api.head(path)
        assert head.status_code == 200 and head.content == b"", path
    run = api.post("/runs?wait=30", json={"input": "Say hello!"}).json()
    assert api.head(f"/runs/{run['id']}/events").status_code == 200
    assert api.head("/nothing").status_code == 404


def test_options_names_every_method_of_a_path(api):
    for path, methods in (
        ("/runs", {"GET", "POST"}),
        ("/sessions", {"GET", "POST"}),
        (f"/runs/{NO_RUN}", {"GET"}),
        ("/sessions/any", {"GET", "DELETE"}),
        ("/v1/chat/completions", {"POST"}),
    ):
        answer = api.options(path)
        assert answer.status_code == 204 and answer.content == b"", path
        assert set(answer.headers["allow"].split(", ")) == methods | {"OPTIONS"}, path
    assert "OPTIONS /nothing" in api.options("/nothing").json()["detail"]


def test_any_authorization_is_welcome_while_authentication_is_off(api):
    for value in ("", "Bearer", "Bearer sk-anything", "Basic eDp5", "nonsense"):
        assert api.get("/v1/models", headers={"authorization": value}).status_code == 200


def test_bytes_that_are_no_http_do_not_disturb_the_others(api, shipped):
    place = urlsplit(shipped.url)
    for rubbish in (
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"A" * 100_000,
        b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
    ):
        with socket.create_connection((place.hostname, place.port), timeout=5) as raw:
            raw.sendall(rubbish)
            raw.shutdown(socket.SHUT_WR)
            raw.recv(65536)
    assert api.get("/health").status_code == 200
