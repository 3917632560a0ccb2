"""Credentials that an upstream shows in forms of its own: none of them comes in."""

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest

from agentrt.containers import Upstream
from containers.egress.conftest import SECRET, Open
from fixtures.raw_http import RawServer, chunked, plain

pytestmark = pytest.mark.anyio

RAW = SECRET.encode()
FORMS = {
    "in JSON as PHP writes it": json.dumps(SECRET).replace("/", "\\/").encode(),
    "in an address that keeps slashes": quote(SECRET).encode(),
    "in an address in lower case": re.sub("%..", lambda found: found[0].lower(), quote(SECRET, safe="")).encode(),
    "in a form": quote_plus(SECRET).encode(),
    "in hexadecimal digits": RAW.hex().encode(),
    "in capital hexadecimal digits": RAW.hex().upper().encode(),
    **{f"as base64 behind {n} bytes": base64.b64encode(b"Bearer "[:n] + RAW + b"\n") for n in range(8)},
    **{f"as base64 for addresses behind {n} bytes": base64.urlsafe_b64encode(b"Bearer "[:n] + RAW) for n in range(3)},
}


@pytest.mark.parametrize("form", FORMS)
async def test_no_form_of_a_credential_comes_in_however_it_is_cut(open_: Open, upstream: RawServer, form: str) -> None:
    shown = FORMS[form]
    body = b"you sent <" + shown + b"> to us"
    ways = {"up": Upstream(origin=upstream.origin, header="authorization", value="Bearer ${SECRET}")}
    async with open_(ways) as outlet:
        for cut in (1, 2, 5, 1000):
            upstream.answer = chunked(
                *(body[n : n + cut] for n in range(0, len(body), cut)), headers=b"x-echo: " + shown + b"\r\n"
            )
            answer = await outlet.ask("GET", "/up/x")
            for told in (answer.body, answer.headers["x-echo"].encode()):
                assert shown not in told
                assert told.count(b"*") >= len(RAW) - 4
            assert answer.body.startswith(b"you sent <") and answer.body.endswith(b"> to us")
            assert len(answer.body) == len(body)


async def test_a_credential_in_a_page_does_not_come_in(open_: Open, upstream: RawServer) -> None:
    secret = """pass'word&"<0123>"""
    ways = {"up": Upstream(origin=upstream.origin, header="x-key", value="${QUOTED}")}
    async with open_(ways, env={"QUOTED": secret}) as outlet:
        for shown in (html.escape(secret), html.escape(secret).replace("&#x27;", "&#39;")):
            upstream.answer = plain(shown.encode())
            assert set((await outlet.ask("GET", "/up/x")).body) == {ord("*")}


async def test_the_password_within_basic_authentication_does_not_come_in(open_: Open, upstream: RawServer) -> None:
    pair = base64.b64encode(b"clerk:a-long-password").decode()
    ways = {"up": Upstream(origin=upstream.origin, header="authorization", value="Basic ${PAIR}")}
    async with open_(ways, env={"PAIR": pair}) as outlet:
        for shown in (b"clerk:a-long-password", b'{"password": "a-long-password"}', pair.encode()):
            upstream.answer = plain(shown)
            told = (await outlet.ask("GET", "/up/x")).body
            assert b"a-long-password" not in told and pair.encode() not in told
            assert b"*" * 15 in told


@pytest.mark.parametrize(
    "name", ["x_http_method_override", "x_forwarded_for", "x_original_url", "x_api_key", "content_length", "x_key"]
)
async def test_what_some_servers_take_for_a_dash_is_one(open_: Open, upstream: RawServer, name: str) -> None:
    ways = {"up": Upstream(origin=upstream.origin, header="x-key", value="${SECRET}")}
    async with open_(ways) as outlet:
        assert (await outlet.ask("GET", "/up/x", {name: "DELETE", "x_kept": "1"})).status == 200
    assert name.encode() not in upstream.requests[0].lower()
    assert b"x_kept: 1" in upstream.requests[0]


async def test_no_account_of_somebody_else_s_comes_along_with_a_placeholder(open_: Open, upstream: RawServer) -> None:
    """What code may read it could hand over to whoever reads that account."""
    ways = {"up": Upstream(origin=upstream.origin, value="${SECRET}")}
    sent = {
        "x-auth-token": "of-mallory",
        "private-token": "of mallory {{agentrt:SECRET}}",
        "cookie": "session=of-mallory; x={{agentrt:SECRET}}",
        "x-api-key": "{{agentrt:SECRET}}{{agentrt:SECRET}}",
        "authorization": "Bearer {{agentrt:SECRET}}",
        "x-other": "kept {{agentrt:SECRET}}",
    }
    async with open_(ways) as outlet:
        assert (await outlet.ask("GET", "/up/x", sent)).status == 200
    got = upstream.requests[0]
    assert b"mallory" not in got and b"x-api-key" not in got
    assert b"authorization: Bearer " + RAW in got and b"x-other: kept " + RAW in got
