"""Runs of one step for embeddings: what becomes of them when something comes between."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agentrt import events as e
from agentrt.kernel import SYSTEM, new_id
from agentrt.providers import Choice, ProviderEntry, Providers
from agentrt.runs import EmbeddingRuns, RunFilter
from fixtures.house import Houses
from upstreams.openai_upstream import Gate, OpenAIUpstream, Reply

pytestmark = pytest.mark.anyio

VECTORS = b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"m","usage":{"prompt_tokens":2}}'
JSON = (("content-type", "application/json"),)


async def test_one_whose_server_died_is_failed_at_the_next_start_and_not_made_again(houses: Houses) -> None:
    run_id = new_id("run")
    started = e.RunStarted(tenant="default", agent="passthrough", agent_version="embedding", model="m", provider="acme")
    async with houses.open() as house:
        await house.journal.append(run_id, [started, e.ModelStarted(step=1, model="m", boot="boot_before")])
    async with houses.open() as house:
        view = await house.runs.get(SYSTEM, run_id)
        assert (view.status, view.error and view.error.code) == ("failed", "not_recovered")
        assert not houses.model.asks


async def test_one_that_is_cancelled_meanwhile_still_says_what_it_took(
    houses: Houses, openai_upstream: Callable[[], OpenAIUpstream]
) -> None:
    gate, upstream = Gate(), openai_upstream()
    upstream.answer = lambda request: Reply([gate, VECTORS], headers=JSON) if request.path.endswith("/embeddings") else None
    entry = ProviderEntry(base_url=upstream.base_url)
    async with houses.open() as house, Providers({"acme": entry}) as providers, asyncio.TaskGroup() as group:
        runs = EmbeddingRuns(house.journal, providers, house.runs.parent_of)
        asked = group.create_task(runs.embed(SYSTEM, "acme/m", {"input": "x"}))
        await asyncio.to_thread(gate.reached.wait, 10)
        (run_id,) = await house.table.unfinished()
        assert (await house.runs.cancel(SYSTEM, run_id)).status == "cancelled"
        gate.open()
        assert (await asked).body == VECTORS
        assert await house.story(run_id) == [
            "run_started", "model_started", "cancel_requested", "run_cancelled", "model_completed",
        ]  # fmt: skip
        view = await house.runs.get(SYSTEM, run_id)
        assert (view.status, view.usage.input_tokens) == ("cancelled", 2)
        batches = await house.runs.watch(SYSTEM, run_id)
        assert batches is not None
        async with asyncio.timeout(30):
            told = [item async for batch in batches for item in batch]
        assert isinstance(told[-1].event, e.RunCancelled)
        assert await house.runs.watch(SYSTEM, run_id, str(told[-1].seq)) is None


class Mistaken(Providers):
    """Providers whose client fails in a way that nobody foresaw."""

    async def embed(self, choice: Choice, asked: dict[str, Any]) -> Any:
        raise TypeError("a mistake of ours")


async def test_one_that_meets_a_mistake_of_ours_ends_and_leaves_no_step_open(houses: Houses) -> None:
    async with houses.open() as house, Mistaken({"acme": ProviderEntry(base_url="http://127.0.0.1:9")}) as providers:
        with pytest.raises(TypeError):
            await EmbeddingRuns(house.journal, providers, house.runs.parent_of).embed(SYSTEM, "acme/m", {"input": "x"})
        assert await house.table.unfinished() == []
        (run,) = (await house.runs.list(SYSTEM, RunFilter())).data
        assert (run.status, run.error and run.error.code) == ("failed", "internal_error")
        assert await house.story(run.id) == ["run_started", "model_started", "model_failed", "run_failed"]
        assert [step.status for step in await house.runs.steps(SYSTEM, run.id)] == ["failed"]
