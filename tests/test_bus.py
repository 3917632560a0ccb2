"""Signals between modules: typed, bounded, delivered to whoever subscribed."""

import asyncio

import pytest

from agentrt.bus import Bus, ConfigChanged, McpServerChanged, RunMoved

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_signal_reaches_every_subscriber_of_its_type_and_nobody_else() -> None:
    bus = Bus()
    with bus.subscribe(ConfigChanged) as one, bus.subscribe(ConfigChanged) as two, bus.subscribe(McpServerChanged) as other:
        bus.publish(ConfigChanged("agents"))
        assert await one.take() == await two.take() == [ConfigChanged("agents")]
        assert other.pending() == []


async def test_a_subscriber_is_woken_and_ends_with_the_bus_after_what_it_still_holds() -> None:
    bus, seen = Bus(), []

    async def read() -> None:
        with bus.subscribe(RunMoved) as moves:
            ready.set()
            async for move in moves:
                seen.append(move.run_id)

    ready = asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(read())
        await ready.wait()
        for n in range(3):
            bus.publish(RunMoved(f"run_{n}"))
        bus.close()
    assert seen == ["run_0", "run_1", "run_2"]


async def test_who_falls_behind_loses_the_oldest_and_is_told() -> None:
    bus = Bus()
    with bus.subscribe(RunMoved, capacity=2) as moves:
        for n in range(5):
            bus.publish(RunMoved(f"run_{n}"))
        assert [move.run_id for move in moves.pending()] == ["run_3", "run_4"]
        assert moves.missed == 3


async def test_who_has_left_is_not_served() -> None:
    bus = Bus()
    with bus.subscribe(RunMoved) as moves:
        pass
    bus.publish(RunMoved("run_a"))
    assert moves.pending() == []
