"""What every request passes before anything else looks at it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

OpenEdge = Callable[..., Callable[..., Awaitable[Any]]]


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "127.0.0.1"])
async def test_the_machine_s_own_names_are_served(edge: OpenEdge, host: str) -> None:
    assert (await edge()(host=host)).body == b"inside"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", ""])
async def test_a_name_that_was_pointed_here_is_refused_on_loopback(edge: OpenEdge, host: str) -> None:
    """DNS rebinding."""
    answer = await edge()(host=host)
    assert (answer.status, answer.json["code"]) == (403, "host_not_allowed")
    assert (await edge(strict=False)(host=host)).status == 200


async def test_names_that_an_operator_allows_are_served(edge: OpenEdge) -> None:
    assert (await edge(hosts=("agents.example",))(host="Agents.example:8080")).status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
@pytest.mark.parametrize("strict", [True, False])
async def test_a_foreign_page_is_refused(edge: OpenEdge, origin: str, strict: bool) -> None:
    answer = await edge(strict=strict)("POST", origin=origin, content_type="application/json", content_length="2")
    assert (answer.status, answer.json["code"]) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8080", "http://localhost:3000", "http://[::1]:5173"])
async def test_pages_of_this_machine_are_let_in(edge: OpenEdge, origin: str) -> None:
    answer = await edge()(origin=origin)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, origin)


async def test_pages_of_the_server_itself_and_those_an_operator_allows_are_let_in(edge: OpenEdge) -> None:
    exposed = edge(strict=False, hosts=(), origins=("https://chat.example/",))
    assert (await exposed(host="agents.example", origin="https://agents.example")).status == 200
    assert (await exposed(host="agents.example", origin="https://Chat.example")).status == 200
    assert (await exposed(host="agents.example", origin="http://localhost:3000")).status == 403
    assert (await edge(strict=False, origins=("*",))(origin="https://any.example")).status == 200


async def test_a_browser_that_asks_first_is_told_what_a_page_may_do(edge: OpenEdge) -> None:
    asked = {"origin": "http://localhost:3000", "access_control_request_method": "POST"}
    answer = await edge()("OPTIONS", access_control_request_headers="content-type, x-session-id", **asked)
    assert answer.status == 204
    assert answer.headers["access-control-allow-headers"] == "content-type, x-session-id"
    assert "POST" in answer.headers["access-control-allow-methods"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_body_that_a_form_could_send_is_refused(edge: OpenEdge, method: str, kind: str) -> None:
    answer = await edge()(method, content_type=kind, content_length="2")
    assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")
    answer = await edge()(method, content_type=kind, transfer_encoding="chunked")
    assert answer.status == 415


async def test_a_file_that_is_put_needs_no_type_and_work_that_is_posted_does(edge: OpenEdge) -> None:
    for how in ({"content_length": "2"}, {"transfer_encoding": "chunked"}):
        assert (await edge()("PUT", **how)).status == 200
        assert (await edge()("POST", **how)).status == (await edge()("PATCH", **how)).status == 415
    assert "must be application/octet-stream, not text/csv" in (await edge()("PUT", content_type="text/csv")).json["detail"]


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "multipart/form-data; boundary=x"])
async def test_json_and_files_are_let_in(edge: OpenEdge, kind: str) -> None:
    assert (await edge()("POST", content_type=kind, content_length="2")).status == 200


@pytest.mark.parametrize(
    ("kind", "status"),
    [("application/octet-stream", 200), ("application/json", 200), ("", 200), ("multipart/form-data; boundary=x", 415)],
)
async def test_what_is_put_is_the_file_itself_and_no_form_around_it(edge: OpenEdge, kind: str, status: int) -> None:
    """`curl -X PUT -F file=@x` would leave the form in the file."""
    assert (await edge()("PUT", "/sandboxes/sbx_x/files/a", content_type=kind, content_length="2")).status == status


async def test_a_post_without_a_body_needs_no_type(edge: OpenEdge) -> None:
    assert (await edge()("POST", "/runs/run_x/cancel", content_length="0")).status == 200
    assert (await edge()("POST", "/runs/run_x/cancel")).status == 200


async def test_while_the_server_stops_only_its_health_is_answered(edge: OpenEdge) -> None:
    stopping = edge(draining=lambda: True)
    answer = await stopping("GET", "/runs")
    assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, "server_shutting_down", "2")
    for path in ("/health", "/health/live", "/health/ready"):
        assert (await stopping("GET", path)).status == 200


async def test_errors_under_v1_have_openai_s_shape(edge: OpenEdge) -> None:
    answer = await edge()("POST", "/v1/chat/completions", content_type="text/plain", content_length="2")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "error": {
            "message": "the body must be application/json, not text/plain",
            "type": "invalid_request_error",
            "param": None,
            "code": "unsupported_media_type",
        }
    }
    assert (await edge()("GET", "/v10", host="evil.example")).headers["content-type"] == "application/problem+json"


async def test_every_answer_has_a_request_id_the_caller_s_where_it_is_one(edge: OpenEdge) -> None:
    given = await edge()(x_request_id="trace-1.2_3")
    assert given.headers["x-request-id"] == "trace-1.2_3" == given.scope["state"]["request_id"]
    for odd in ("with space", "x" * 129, "line\nbreak", "ümlaut"):
        made = (await edge()(x_request_id=odd)).headers["x-request-id"]
        assert made.startswith("req_") and len(made) == 36
    refused = await edge()(host="evil.example", x_request_id="mine")
    assert refused.headers["x-request-id"] == "mine"
    assert float(given.headers["x-agentrt-overhead-ms"]) >= 0


async def test_the_caller_names_the_user(edge: OpenEdge) -> None:
    assert (await edge()(x_user_id="ann")).scope["state"]["who"].user == "ann"
    assert (await edge()()).scope["state"]["who"].user == ""
    assert (await edge()(x_user_id="Żaneta")).scope["state"]["who"].user == "Żaneta"


async def test_a_name_that_is_too_long_is_refused_lest_two_users_become_one(edge: OpenEdge) -> None:
    assert (await edge()(x_user_id="a" * 255)).status == 200
    refused = await edge()(x_user_id="a" * 256)
    assert (refused.status, refused.json["code"], refused.json["param"]) == (400, "invalid_user", "x-user-id")


async def test_head_is_get_without_its_body(edge: OpenEdge) -> None:
    answer = await edge()("HEAD", "/")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
async def test_pages_that_code_serves_from_this_machine_are_foreign(edge: OpenEdge, host: str) -> None:
    """Code in a container may publish a port here: its pages must not speak to the API in the name of whoever looks at them."""
    guarded = edge(foreign=lambda port: port in (40_000, 80))
    answer = await guarded("OPTIONS", origin=f"http://{host}:40000", access_control_request_method="POST")
    assert (answer.status, answer.json["code"]) == (403, "origin_not_allowed")
    assert (await guarded(origin=f"http://{host}")).status == 403
    assert (await guarded(origin=f"http://{host}:40001")).status == 200
