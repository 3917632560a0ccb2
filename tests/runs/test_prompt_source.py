"""Prompts that agents take from tool servers."""

import asyncio

import pytest

from agentrt import events as e
from agentrt.kernel import SYSTEM, Principal, Unavailable
from agentrt.runs import PromptSource
from fixtures.house import Houses

pytestmark = pytest.mark.anyio

NAME = "house/rules"


class Server:
    """What a tool server gives now; None: it is away."""

    def __init__(self, text: str | None) -> None:
        self.text, self.asked = text, 0

    async def __call__(self, who: Principal, server: str, prompt: str) -> str:
        assert (server, prompt) == ("house", "rules")
        self.asked += 1
        if self.text is None:
            raise Unavailable("it is away")
        return self.text


async def test_a_prompt_is_fetched_once_and_kept() -> None:
    server = Server("be kind")
    source = PromptSource(server)
    texts = {(await source.get(SYSTEM, NAME)).text for _ in range(3)}
    assert (texts, server.asked) == ({"be kind"}, 1)
    await source.get(Principal(user="ada"), NAME)
    assert server.asked == 2, "another user may see another one"


async def test_many_who_ask_at_once_are_one_question() -> None:
    server = Server("be kind")
    source = PromptSource(server)
    await asyncio.gather(*(source.get(SYSTEM, NAME) for _ in range(20)))
    assert server.asked == 1


async def test_what_is_old_is_fetched_again_and_the_last_good_one_stands_in_while_it_cannot_be() -> None:
    server = Server("be kind")
    source = PromptSource(server, kept_s=0.0, again_s=0.0)
    assert (await source.get(SYSTEM, NAME)).text == "be kind"
    server.text = None
    kept = await source.get(SYSTEM, NAME)
    assert kept.text == "be kind" and kept.notice == "the prompt house/rules cannot be had now (it is away): the last one is used"
    server.text = "be brief"
    assert (await source.get(SYSTEM, NAME)).text == "be brief"


async def test_a_server_that_is_away_is_not_asked_for_every_turn_and_one_that_is_slow_not_waited_for() -> None:
    server = Server(None)
    source = PromptSource(server)
    found = [await source.get(SYSTEM, NAME) for _ in range(3)]
    assert server.asked == 1 and {one.text for one in found} == {None}
    assert "the agent's own prompt is used" in found[0].notice

    async def slow(who: Principal, server: str, prompt: str) -> str:
        await asyncio.Event().wait()
        return ""

    late = await PromptSource(slow, wait_s=0.01).get(SYSTEM, NAME)
    assert late.text is None and "no answer within 0.01 s" in late.notice


async def test_a_run_uses_it_a_conversation_keeps_it_and_its_absence_is_visible(houses: Houses) -> None:
    houses.agent("guided", "prompt: My own.\nprompt_from: house/rules")
    houses.agent("lost", "prompt: My own.\nprompt_from: house/nothing")
    houses.agent("lively", "prompt_from: house/rules\nrefresh: live")
    houses.prompts = {"house/rules": "be kind"}
    async with houses.open(prompts_kept_s=0.0) as house:

        async def began(text: str, **wanted: str) -> e.RunStarted:
            live = await house.run(text, **wanted)
            return next(event for event in await house.events(live) if isinstance(event, e.RunStarted))

        assert (await began("hi", agent="guided", session_id="s")).system == "be kind"
        await began("hi", agent="lively", session_id="t")
        houses.prompts["house/rules"] = "be brief"
        assert (await began("and?", agent="guided", session_id="s")).system == "be kind"
        assert (await began("and?", agent="lively", session_id="t")).system == "be brief"
        missing = await began("hi", agent="lost")
        assert missing.system == "My own." and "house/nothing cannot be had now" in missing.notices[0]
