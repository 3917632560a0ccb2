"""How long a provider asks to wait reaches who asked, against the real server."""

from email.utils import formatdate
from typing import Any

import openai
import pytest

from fixtures.live_server import LiveServer
from upstreams.openai_upstream import OpenAIUpstream, refuses

HI: Any = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "asked", "told"),
    [
        (429, "120.4", range(121, 122)),
        (503, formatdate(4_000_000_000, usegmt=True), range(86_400, 86_401)),
        (429, None, range(1, 60)),
    ],
    ids=["seconds", "a date far away", "nothing"],
)
def test_a_caller_is_told_to_wait_as_long_as_the_provider_asks(
    client: openai.OpenAI, upstream: OpenAIUpstream, status: int, asked: str | None, told: range, stream: bool
) -> None:
    upstream.script(*[refuses(status, "slow down", retry_after=asked)] * 3)
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="default", messages=HI, stream=stream)
    upstream.reset()
    assert int(caught.value.response.headers["retry-after"]) in told


def test_the_run_keeps_it_too(client: openai.OpenAI, upstream: OpenAIUpstream, server: LiveServer) -> None:
    upstream.script(refuses(429, "slow down", retry_after="120"))
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="default", messages=HI)
    run = caught.value.response.headers["x-run-id"]
    events = client.with_options(base_url=server.url).get(f"/runs/{run}/events", cast_to=str)
    assert events.count('"retry_after_s":120.0') == 2, "of the model call, and of the run"
