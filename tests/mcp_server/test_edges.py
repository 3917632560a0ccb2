"""`/mcp` at the level of HTTP: who may come in, what is described and counted, how it ends."""

import threading
from typing import Any

import httpx2
import pytest

from fixtures.mcp_hello import HELLO, OLDER

MODERN = "2026-07-28"
BOTH = "application/json, text/event-stream"


@pytest.fixture
def http(live_server):
    with httpx2.Client(base_url=live_server.url, timeout=50) as client:
        yield client


def initialize(http: httpx2.Client, user: str = "") -> str:
    answer = http.post("/mcp", json=HELLO, headers={"accept": BOTH} | ({"x-user-id": user} if user else {}))
    assert answer.status_code == 200, answer.text
    return answer.headers["mcp-session-id"]


def say(http: httpx2.Client, session: str, method: str = "tools/list", **headers: str) -> httpx2.Response:
    told = {"accept": BOTH, "mcp-protocol-version": OLDER, "mcp-session-id": session, **headers}
    return http.post("/mcp", json={"jsonrpc": "2.0", "id": 2, "method": method}, headers=told)


def test_a_session_is_of_use_to_who_opened_it_only(http: httpx2.Client) -> None:
    session = initialize(http, "ada")
    assert say(http, session, **{"x-user-id": "ada"}).status_code == 200
    for other in ({"x-user-id": "bob"}, {}):
        assert say(http, session, **other).status_code == 404
        ended = http.delete("/mcp", headers={"mcp-session-id": session, **other})
        assert ended.status_code == 404
    assert http.delete("/mcp", headers={"mcp-session-id": session, "x-user-id": "ada"}).status_code == 200
    assert say(http, session, **{"x-user-id": "ada"}).status_code == 404


def test_what_must_not_come_in_is_refused_before_mcp_sees_it(http: httpx2.Client) -> None:
    rebound = http.post("/mcp", json=HELLO, headers={"accept": BOTH, "host": "evil.example.com"})
    assert (rebound.status_code, rebound.json()["code"]) == (403, "host_not_allowed")
    page = http.post("/mcp", json=HELLO, headers={"accept": BOTH, "origin": "https://evil.example.com"})
    assert (page.status_code, page.json()["code"]) == (403, "origin_not_allowed")
    text = http.post("/mcp", content="{}", headers={"accept": BOTH, "content-type": "text/plain"})
    assert text.status_code == 415
    assert http.put("/mcp", json={}).headers["allow"] and http.put("/mcp", json={}).status_code == 405


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '{"jsonrpc":"2.0"}'])
@pytest.mark.parametrize("version", [MODERN, OLDER, "1999-01-01"])
def test_what_is_no_message_is_refused(http: httpx2.Client, body: str, version: str) -> None:
    session = {"mcp-session-id": initialize(http)} if version == OLDER else {}
    headers = {"accept": BOTH, "content-type": "application/json", "mcp-protocol-version": version, **session}
    answer = http.post("/mcp", content=body, headers=headers)
    assert 400 <= answer.status_code < 500


def test_a_body_that_is_too_large_is_refused(serve) -> None:
    with serve(AGENTRT_MAX_BODY_BYTES="4096") as server, httpx2.Client(base_url=server.url) as http:
        large: Any = HELLO | {"padding": "x" * 5000}
        refused = http.post("/mcp", json=large, headers={"accept": BOTH})
        assert (refused.status_code, refused.json()["code"]) == (413, "request_too_large")
        pieces = (b'{"x":"', b"x" * 5000, b'"}')
        headers = {"accept": BOTH, "content-type": "application/json"}
        assert http.post("/mcp", content=(piece for piece in pieces), headers=headers).status_code == 413


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_where_there_are_no_sessions_there_is_none_to_listen_to_or_to_end(http: httpx2.Client, method: str) -> None:
    answer = http.request(method, "/mcp", headers={"accept": "text/event-stream", "mcp-protocol-version": MODERN})
    assert answer.status_code == 405
    assert "405" in http.get("/schema/openapi.json").json()["paths"]["/mcp"][method.lower()]["responses"]


def test_it_is_described_counted_and_can_be_switched_off(http: httpx2.Client, serve, tmp_path) -> None:
    answer = http.post("/mcp", json=HELLO, headers={"accept": BOTH, "x-request-id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
    paths = http.get("/schema/openapi.json").json()["paths"]
    assert set(paths["/mcp"]) == {"get", "post", "delete"}
    refused = paths["/mcp"]["post"]["responses"]["400"]["content"]
    assert set(refused) == {"application/json", "application/problem+json"}
    assert '{method="POST",route="/mcp",status="200"}' in http.get("/metrics").text.replace(", ", ",")
    with serve(home=tmp_path / "off", AGENTRT_MODULES__MCP_SERVER="false") as server, httpx2.Client(base_url=server.url) as off:
        assert off.post("/mcp", json=HELLO, headers={"accept": BOTH}).status_code == 404
        assert off.get("/health").json()["modules"]["mcp_server"]["status"] == "off"


def test_a_server_that_is_listened_to_goes_down_at_once(serve) -> None:
    with serve() as server, httpx2.Client(base_url=server.url, timeout=50) as http:
        session = initialize(http)
        began, ended = threading.Event(), threading.Event()

        def listen() -> None:
            headers = {"accept": "text/event-stream", "mcp-protocol-version": OLDER, "mcp-session-id": session}
            with httpx2.stream("GET", f"{server.url}/mcp", headers=headers, timeout=50) as answer:
                began.set()
                for _ in answer.iter_bytes():
                    pass
            ended.set()

        threading.Thread(target=listen, daemon=True).start()
        assert began.wait(30)
        assert server.terminate() == 0
        assert "graceful shutdown exceeded" not in server.log, "the stream had to be cut off"
        assert ended.wait(30)
        assert "Traceback" not in server.log


def test_many_first_requests_at_once_are_all_answered(http: httpx2.Client) -> None:
    sessions: list[str] = []
    waiting = [threading.Thread(target=lambda: sessions.append(initialize(http))) for _ in range(8)]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join(50)
    assert len(set(sessions)) == 8
