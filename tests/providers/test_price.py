"""What a call costs, by table, and against the library whose list we read."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import genai_prices
import pytest
import uvloop

from agentrt.messages import Usage
from agentrt.providers import Abilities, Price, ProviderEntry, Providers, cost_of
from agentrt.providers.price import Tier
from agentrt.providers.prices import Dated, Listed

PLAIN = Price(input=3.0, output=15.0)
FULL = Price(
    input=3.0, output=15.0, cached=0.3, cache_write=3.75, reasoning=20.0, audio_input=40.0, audio_output=80.0, request=0.01
)
IMAGES = Price(input=3.0, output=15.0, image_input=10.0, image_output=120.0)
TIERED = Price(
    input=1.0,
    output=10.0,
    tiers=(
        Tier(above=200_000, price=Price(input=2.0, output=15.0, cached=0.5)),
        Tier(above=500_000, price=Price(input=4.0, output=20.0)),
    ),
)

TABLE: dict[str, tuple[Price, Usage, float | None]] = {
    "input and output": (PLAIN, Usage(1_000_000, 100_000), 4.5),
    "one token is not nothing": (Price(input=0.02), Usage(1, 0), 2e-8),
    "what was cached costs less": (FULL, Usage(1_000_000, 0, cached=900_000), 0.3 + 0.27 + 0.01),
    "what was written to a cache costs more": (FULL, Usage(1_000_000, 0, cache_write=1_000_000), 3.75 + 0.01),
    "without a price of its own it costs as input": (PLAIN, Usage(1_000_000, 0, cached=500_000, cache_write=500_000), 3.0),
    "reasoning is part of the output": (PLAIN, Usage(0, 1_000_000, reasoning=900_000), 15.0),
    "and may have a price of its own": (FULL, Usage(0, 1_000_000, reasoning=1_000_000), 20.01),
    "sound costs as sound": (FULL, Usage(100_000, 100_000, audio_input=100_000, audio_output=100_000), 4.0 + 8.0 + 0.01),
    "kinds that overlap make nothing negative": (FULL, Usage(100, 0, cached=100, audio_input=50), 30e-6 + 2000e-6 + 0.01),
    "images cost as images": (IMAGES, Usage(1_000_000, 100_000, image_input=500_000, image_output=100_000), 1.5 + 5.0 + 12.0),
    "and without a price of their own as the rest": (PLAIN, Usage(1_000_000, 100_000, image_input=9, image_output=9), 4.5),
    "what was cached is paid once though it was an image": (
        Price(input=3.0, output=15.0, cached=0.3),
        Usage(1_000_000, 0, cached=1_000_000, image_input=900_000),
        0.3,
    ),
    "below a tier": (TIERED, Usage(200_000, 100_000), 1.2),
    "above it all of the call costs more": (TIERED, Usage(200_001, 100_000), 0.400002 + 1.5),
    "the highest tier reached counts": (TIERED, Usage(600_000, 0), 2.4),
    "an output without a price is unknown": (Price(input=1.0), Usage(10, 1), None),
    "unless there is none": (Price(input=1.0), Usage(1_000_000, 0), 1.0),
    "free is known": (Price(input=0.0, output=0.0), Usage(10, 10), 0.0),
}


@pytest.mark.parametrize("case", TABLE)
def test_the_cost_of_a_call(case: str) -> None:
    price, usage, cost = TABLE[case]
    assert cost_of(price, usage) == (None if cost is None else pytest.approx(cost, abs=1e-12))


def test_prices_may_depend_on_the_day_and_the_hour() -> None:
    night, day, later = (Price(input=rate) for rate in (1.0, 2.0, 3.0))
    listed = Listed(
        ["equals", "m"],
        None,
        (
            Dated(None, None, None, night),
            Dated(None, "08:00:00", "20:00:00", day),
            Dated("2030-01-01", "22:00:00", "02:00:00", later),
        ),
    )

    def at(*when: int) -> Price | None:
        return listed.price(datetime(*when, tzinfo=UTC).timestamp())

    assert [at(2029, 5, 5, 7, 59), at(2029, 5, 5, 8), at(2029, 5, 5, 20), at(2029, 5, 5, 23)] == [night, day, night, night]
    assert [at(2030, 1, 1, 23), at(2030, 1, 2, 1, 59), at(2030, 1, 2, 2)] == [later, later, night]


@asynccontextmanager
async def listed(**more: object) -> AsyncIterator[Providers]:
    entries = {
        "openai": ProviderEntry(api_key="sk-x"),
        "anthropic": ProviderEntry(wire="anthropic", api_key="sk-x"),
        "gemini": ProviderEntry(wire="gemini", api_key="sk-x"),
        "fast": ProviderEntry(base_url="https://api.groq.com/openai/v1"),
        "local": ProviderEntry(base_url="http://127.0.0.1:1/v1"),
        "ollama": ProviderEntry(wire="ollama", base_url="http://127.0.0.1:1"),
    }
    async with Providers(entries, **more) as providers:  # type: ignore[arg-type]
        await providers.facts.prices.listed()
        yield providers


USED = {
    "plain": (Usage(12_345, 678), {"input_tokens": 12_345, "output_tokens": 678}),
    "cached": (
        Usage(400_000, 100, cached=250_000, cache_write=50_000, reasoning=40),
        {"input_tokens": 400_000, "cache_read_tokens": 250_000, "cache_write_tokens": 50_000, "output_tokens": 100},
    ),
}
MODELS = [
    ("openai", "openai", "gpt-4o-mini"),
    ("openai", "openai", "gpt-5.5"),
    ("openai", "openai", "gpt-4o-2024-08-06"),
    ("openai", "openai", "text-embedding-3-small"),
    ("anthropic", "anthropic", "claude-sonnet-4-5"),
    ("anthropic", "anthropic", "claude-opus-4-1-20250805"),
    ("gemini", "google", "gemini-2.5-pro"),
    ("gemini", "google", "gemini-2.5-flash"),
    ("fast", "groq", "llama-3.3-70b-versatile"),
]


def test_the_sum_is_the_librarys_for_models_of_every_wire() -> None:
    async def main() -> None:
        async with listed() as providers:
            for provider, theirs, model in MODELS:
                for usage, used in USED.values():
                    if model.startswith("text-embedding"):
                        usage, used = Usage(usage.input), {"input_tokens": used["input_tokens"]}
                    expected = genai_prices.calc_price(genai_prices.Usage(**used), model, provider_id=theirs).total_price
                    cost = await providers.facts.cost(f"{provider}/{model}", usage)
                    assert cost == pytest.approx(float(expected), abs=1e-12), (model, used)

    asyncio.run(main())


def test_an_image_that_a_model_makes_costs_what_the_library_says() -> None:
    async def main() -> None:
        async with listed() as providers:
            used = genai_prices.Usage(input_tokens=100, output_tokens=1300, output_image_tokens=1290)
            expected = genai_prices.calc_price(used, "gemini-2.5-flash-image", provider_id="google").total_price
            cost = await providers.facts.cost("gemini/gemini-2.5-flash-image", Usage(100, 1300, image_output=1290))
            assert cost == pytest.approx(float(expected), abs=1e-12)

    asyncio.run(main())


def test_what_nobody_knows_has_no_price_and_what_is_free_has_one() -> None:
    async def main() -> None:
        async with listed() as providers:
            cost = providers.facts.cost
            assert await cost("openai/my-finetune", Usage(10, 10)) is None
            assert await cost("local/gpt-4o-mini", Usage(10, 10)) is None, "somebody's own server has somebody's own price"
            assert await cost("ollama/llama3", Usage(10, 10)) is None
            assert await cost("offline/offline", Usage(10, 10)) == 0.0
            assert await cost("openai/my-finetune", Usage()) == 0.0, "nothing was used"
            assert await providers.unpriced(["openai/gpt-4o-mini", "local/x", "offline/offline"]) == ["local/x"]

    asyncio.run(main())


def test_nobody_waits_for_the_list_where_it_has_no_say() -> None:
    async def main() -> None:
        entries = {
            "openai": ProviderEntry(base_url="http://127.0.0.1:1/v1", models=("gpt-*",)),
            "named": ProviderEntry(base_url="http://localhost:1/v1"),
            "anthropic": ProviderEntry(wire="anthropic", api_key="sk-x"),
        }
        async with Providers(entries, prices={"anthropic/claude-*": PLAIN}) as providers:
            async with asyncio.timeout(0):  # over at the first wait
                assert await providers.facts.cost("openai/my-own", Usage(10, 10)) is None
                assert await providers.facts.cost("named/gpt-4o-mini", Usage(10, 10)) is None
                assert await providers.facts.cost("anthropic/claude-sonnet-4-5", Usage(1_000_000)) == 3.0
            passed_on = await providers.facts.cost("openai/gpt-4o-mini", Usage(1_000_000))
            assert passed_on, "a maker's model keeps its price behind a server of one's own"
            assert await providers.facts.cost("openai/my-own", Usage(10, 10)) is None, "the list's arrival changes nothing"

    asyncio.run(main())


@pytest.mark.parametrize("rounds", range(8))
def test_who_leaves_while_the_list_is_read_leaves_no_process_behind(rounds: int) -> None:
    """Not even where the program has just been started: an event loop that never got to own it would say so."""

    async def main() -> None:
        async with Providers({"openai": ProviderEntry(api_key="sk-x")}) as providers, asyncio.TaskGroup() as group:
            asking = group.create_task(providers.facts.cost("openai/gpt-4o-mini", Usage(1)))
            for _ in range(rounds):
                await asyncio.sleep(0)
            asking.cancel()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    gc.collect()


def test_the_settings_come_first_and_may_say_that_something_is_free() -> None:
    prices = {"local/tiny-*": Price(input=0, output=0), "local/*": Price(input=1, output=2), "openai/gpt-4o*": Price(input=9)}

    async def main() -> None:
        async with listed(prices=prices) as providers:
            cost = providers.facts.cost
            assert await cost("local/tiny-1", Usage(10, 10)) == 0.0
            assert await cost("local/other", Usage(1_000_000, 500_000)) == 2.0
            assert await cost("openai/gpt-4o-mini", Usage(1_000_000)) == 9.0
            assert await cost("openai/gpt-4o-mini", Usage(1, 1)) is None, "the settings say nothing of output"
            assert await providers.unpriced(["local/other", "openai/gpt-4o-mini"]) == ["openai/gpt-4o-mini"]

    asyncio.run(main())


def test_abilities_are_read_off_the_name_and_the_settings_come_first() -> None:
    said = {"local/*": Abilities(vision=True, context_tokens=32_768), "openai/gpt-4o*": Abilities(pdf=False)}

    async def main() -> None:
        async with listed(abilities=said) as providers:
            of = providers.facts.abilities
            local, mini, flash = of("local", "x"), of("openai", "gpt-4o-mini"), of("gemini", "gemini-2.5-flash")
            assert (local.vision, local.audio, local.context_tokens) == (True, None, 32_768)
            assert (mini.vision, mini.pdf, mini.embeddings, mini.context_tokens) == (True, False, False, 128_000)
            assert (flash.audio, flash.thinking, flash.context_tokens) == (True, True, 1_048_576)
            assert of("openai", "text-embedding-3-small").embeddings
            assert of("fast", "claude-sonnet-4-5").thinking, "a reseller's name for it says enough"
            assert of("openai", "my-finetune") == Abilities()

    asyncio.run(main())
