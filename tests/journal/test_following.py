"""Readers who come, fall behind, leave and come back with any cursor they were ever given: no gap, no repeat."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import pytest

from agentrt import events as e
from agentrt.journal import Journal, Place
from agentrt.kernel import Invalid, Unavailable
from agentrt.messages import Usage, says
from fixtures.journals import OpenJournal

STARTED = e.RunStarted(tenant="default", agent="a", agent_version="v", model="m", provider="p")
PIECES = ["a", "bc", " ", "ä", "𝄞", "日本", "\n", "longer piece of text", "'", '"']


def begins(step: int) -> e.ModelStarted:
    return e.ModelStarted(step=step, model="m", boot="b")


def completes(step: int, text: str) -> e.ModelCompleted:
    return e.ModelCompleted(step=step, message=says("assistant", text), usage=Usage(), stop="stop")


def breaks_off(step: int) -> e.ModelRetrying:
    return e.ModelRetrying(step=step, attempt=1, code="connection", message="cut", wait_s=0, duration_ms=1, next="p/n")


async def a_run(journal: Journal, run_id: str, chance: random.Random) -> AsyncIterator[None]:
    """A run full of accidents, one of them at a time."""
    await journal.append(run_id, [STARTED, begins(1)])
    steps = chance.randint(1, 4)
    for step in range(1, steps + 1):
        yield
        text = ""
        for _ in range(chance.randint(0, 12)):
            pieces = [chance.choice(PIECES) for _ in range(chance.randint(1, 4))]
            text += "".join(pieces)
            live: list[e.LiveEvent] = [e.TextDelta(text=piece) for piece in pieces]
            if chance.random() < 0.2:
                live.insert(0, e.ReasoningDelta(text="hm"))
            journal.show(run_id, step, live)
            if chance.random() < 0.6:
                yield
            if chance.random() < 0.15:
                await journal.append(run_id, [e.CancelRequested()])
            if chance.random() < 0.15:
                await journal.append(run_id, [breaks_off(step), e.TextDiscarded(step=step, reason="model_failed")])
                text = ""
        last = step == steps
        if chance.random() < 0.3 and not last:
            failed = e.ModelFailed(step=step, code="overloaded", message="busy", text=journal.discard(run_id))
            follow = [e.TextDiscarded(step=step, reason="again")] if chance.random() < 0.5 else []
            await journal.append(run_id, [failed, *follow, begins(step + 1)])
            continue
        then: list[e.StoredEvent] = [] if last else [begins(step + 1)]
        if last and chance.random() < 0.5:
            then = [e.FinalText(text=text), e.RunCompleted()]
        await journal.append(run_id, [completes(step, text), *then])
    if not then:
        yield
        await journal.append(run_id, [e.FinalText(text=text), e.RunCompleted()])


class Follower:
    """A reader that keeps what it was shown, and the cursor behind each piece of it."""

    def __init__(self, run_id: str, chance: random.Random) -> None:
        self.run_id, self._chance = run_id, chance
        self.items: list[e.Record | e.Delta] = []
        self.cursors = ["0"]

    @property
    def done(self) -> bool:
        return bool(self.items) and isinstance(self.items[-1], e.Record) and isinstance(self.items[-1].event, e.End)

    async def follow(self, journal: Journal) -> None:
        """To the end of the run or of the journal, in many visits."""
        while not self.done:
            self._go_back_to_any_cursor()
            visit = journal.tail(self.run_id, self.cursors[-1])
            if not await self._stay(visit):
                return

    def _go_back_to_any_cursor(self) -> None:
        kept = self._chance.choice([len(self.items), self._chance.randint(0, len(self.items))])
        del self.items[kept:], self.cursors[kept + 1 :]

    async def _stay(self, visit: AsyncGenerator[list[e.Record | e.Delta]]) -> bool:
        """Take some batches, the last perhaps in part; whether it left by itself or at the run's end."""
        place = Place(self.cursors[-1])
        left = self._chance.choice([1, 3, 10, 1000, 1000])
        async with aclosing(visit):
            async for batch in visit:
                for item in batch:
                    if isinstance(item, e.Delta) and item.offset < 0:
                        continue
                    place.take(item)
                    self.items.append(item)
                    self.cursors.append(place.cursor)
                    left -= 1
                    if left == 0:
                        return True
                for _ in range(self._chance.randint(0, 3)):
                    await asyncio.sleep(0)  # a slow reader: others go on
        return self.done

    def texts(self) -> dict[int, str]:
        """The visible text of each step, as a client that joins deltas has it."""
        texts: dict[int, str] = {}
        for item in self.items:
            if isinstance(item.event, e.TextDelta):
                assert isinstance(item, e.Delta)
                texts[item.step] = texts.get(item.step, "") + item.event.text
            elif isinstance(item.event, e.TextDiscarded):
                texts.pop(item.event.step, None)
        return {step: text for step, text in texts.items() if text}


async def check(journal: Journal, followers: list[Follower]) -> None:
    for follower in followers:
        records = await journal.read(follower.run_id)
        whole: dict[int, str] = {}
        for record in records:
            match record.event:
                case e.ModelCompleted(step=step, message=message):
                    whole[step] = message.text
                case e.ModelFailed(step=step, text=text):
                    whole[step] = text
                case e.TextDiscarded(step=step):
                    whole[step] = ""
                case _:
                    pass
        assert [item for item in follower.items if isinstance(item, e.Record)] == records
        assert follower.texts() == {step: text for step, text in whole.items() if text}


@pytest.mark.anyio
async def test_every_reader_gets_every_record_and_every_character_once_and_in_order(open_journal: OpenJournal) -> None:
    chance = random.Random(7)
    async with open_journal() as journal:
        followers: list[Follower] = []

        async def produce(run_id: str) -> None:
            async for _ in a_run(journal, run_id, chance):
                await asyncio.sleep(0)

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for n in range(60):
                run_id = f"run_{n}"
                group.create_task(produce(run_id))
                for _ in range(3):
                    followers.append(Follower(run_id, chance))
                    group.create_task(followers[-1].follow(journal))
        late = [Follower(f"run_{n}", chance) for n in range(60)]
        for follower in late:
            await follower.follow(journal)
        await check(journal, followers + late)


@pytest.mark.anyio
async def test_cursors_hold_over_the_death_of_the_server(open_journal: OpenJournal) -> None:
    chance = random.Random(11)
    runs = [f"run_{n}" for n in range(40)]
    followers = [Follower(run_id, chance) for run_id in runs for _ in range(2)]
    async with open_journal() as journal, asyncio.timeout(30), asyncio.TaskGroup() as group:
        for follower in followers:
            group.create_task(follower.follow(journal))
        for run_id in runs:
            await journal.append(run_id, [STARTED, begins(1)])
            for _ in range(chance.randint(0, 6)):
                journal.show(run_id, 1, [e.TextDelta(text=chance.choice(PIECES))])
                await asyncio.sleep(0)
            if chance.random() < 0.3:
                await journal.append(run_id, [e.CancelRequested()])
        journal.end_tails()
    async with open_journal() as journal, asyncio.timeout(30), asyncio.TaskGroup() as group:
        for follower in followers:
            group.create_task(follower.follow(journal))
        for run_id in runs:
            lost = e.ModelFailed(step=1, code="interrupted", message="died", interrupted=True)
            await journal.append(run_id, [lost, e.TextDiscarded(step=1, reason="server_stopped"), begins(2)])
            journal.show(run_id, 2, [e.TextDelta(text="Hel"), e.TextDelta(text="lo")])
            await journal.append(run_id, [completes(2, "Hello"), e.FinalText(text="Hello"), e.RunCompleted()])
    async with open_journal() as journal:
        await check(journal, followers)
        assert followers[0].texts() == {2: "Hello"}


@pytest.mark.anyio
async def test_a_reader_that_fell_far_behind_reads_the_log_instead(open_on_sqlite: OpenJournal) -> None:
    async with open_on_sqlite() as journal:
        await journal.append("run_a", [STARTED, begins(1)])
        slow, shown = journal.tail("run_a"), []
        shown += await anext(slow)
        text = ""
        for n in range(5):  # more than its queue takes
            flood = [e.TextDelta(text=str((n + i) % 10)) for i in range(8_000)]
            text += "".join(delta.text for delta in flood)
            journal.show("run_a", 1, flood)
        shown += await anext(slow)
        assert "".join(i.event.text for i in shown if isinstance(i.event, e.TextDelta)) == text
        assert len(shown) < 10
        for _ in range(3):
            journal.show("run_a", 1, [e.TextDelta(text="x") for _ in range(10_000)])
        await journal.append("run_a", [completes(1, text + "x" * 30_000), e.FinalText(text=""), e.RunCompleted()])
        shown += [item async for batch in slow for item in batch]
        assert "".join(i.event.text for i in shown if isinstance(i.event, e.TextDelta)) == text + "x" * 30_000
        assert [i.seq for i in shown if isinstance(i, e.Record)] == [1, 2, 3, 4, 5]


@pytest.mark.anyio
async def test_a_reader_that_is_slow_with_its_first_batch_misses_nothing_of_a_run_that_ends_meanwhile(
    open_on_sqlite: OpenJournal,
) -> None:
    async with open_on_sqlite() as journal:
        await journal.append("run_a", [STARTED, begins(1)])
        tail = journal.tail("run_a")
        shown = await anext(tail)
        await journal.append("run_a", [completes(1, "Hello"), e.FinalText(text="Hello"), e.RunCompleted()])
        shown = [*shown, *[item async for batch in tail for item in batch]]
        assert [i.seq for i in shown if isinstance(i, e.Record)] == [1, 2, 3, 4, 5]


@pytest.mark.anyio
async def test_a_finished_run_is_replayed_with_one_delta_per_message(open_on_sqlite: OpenJournal) -> None:
    async with open_on_sqlite() as journal:
        await journal.append("run_a", [STARTED, begins(1)])
        journal.show("run_a", 1, [e.TextDelta(text="Hel"), e.TextDelta(text="lo")])
        await journal.append("run_a", [completes(1, "Hello"), e.FinalText(text="Hello"), e.RunCompleted()])
        shown = [item async for batch in journal.tail("run_a") for item in batch]
        assert [type(item.event) for item in shown] == [
            e.RunStarted,
            e.ModelStarted,
            e.TextDelta,
            e.ModelCompleted,
            e.FinalText,
            e.RunCompleted,
        ]


@pytest.mark.anyio
async def test_the_end_is_the_last_that_readers_see_whatever_stands_behind_it_in_the_log(open_on_sqlite: OpenJournal) -> None:
    async with open_on_sqlite() as journal:
        await journal.append("run_a", [STARTED, begins(1)])
        tail = journal.tail("run_a")
        await anext(tail)
        late = e.CancelRequested(reason="request")
        await asyncio.gather(journal.append("run_a", [e.RunCompleted()]), journal.append("run_a", [late]))
        async with asyncio.timeout(30):
            live = [item async for batch in tail for item in batch]
            replayed = [item async for batch in journal.tail("run_a") for item in batch]
        assert isinstance(live[-1].event, e.RunCompleted) and isinstance(replayed[-1].event, e.RunCompleted)
        assert len(await journal.read("run_a")) == 4


@pytest.mark.anyio
async def test_who_follows_a_run_is_told_when_it_cannot_go_on_and_may_come_back(open_on_sqlite: OpenJournal) -> None:
    async with open_on_sqlite() as journal:
        await journal.append("run_a", [STARTED])
        tail = journal.tail("run_a")
        await anext(tail)
        journal.fail("run_a", Unavailable("the database refuses"))
        with pytest.raises(Unavailable):
            await anext(tail)
        again = journal.tail("run_a", "1")
        await journal.append("run_a", [e.RunCompleted()])
        assert [item.seq for batch in [b async for b in again] for item in batch if isinstance(item, e.Record)] == [2]


@pytest.mark.anyio
async def test_nothing_is_kept_of_readers_and_runs_that_are_gone(open_on_sqlite: OpenJournal) -> None:
    async with open_on_sqlite() as journal:
        for n in range(20):
            await journal.append(f"run_{n}", [STARTED, begins(1)])
            journal.show(f"run_{n}", 1, [e.TextDelta(text="x")])
            async with aclosing(journal.tail(f"run_{n}")) as left_early:
                await anext(left_early)
            await journal.append(f"run_{n}", [completes(1, "x"), e.RunCompleted()])
        feeds = journal._feeds
        assert (feeds._readers, feeds._calls, feeds._recent) == ({}, {}, {})


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.", ".5", "1.2.3", "1e3", " 1", "99999999999", "١"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        Place(cursor)
    assert refused.value.param == "after"


def test_a_cursor_tells_the_record_and_the_characters_after_it() -> None:
    place = Place()
    place.take(e.Record("run_a", 1, 0, STARTED))
    place.take(e.Record("run_a", 2, 0, begins(1)))
    assert place.cursor == "2"
    place.take(e.Delta("run_a", 0, 1, 3, e.TextDelta(text="𝄞ab")))
    assert place.cursor == "2.3"
    place.take(e.Record("run_a", 3, 0, e.CancelRequested()))
    assert place.cursor == "3.3"
    place.take(e.Record("run_a", 4, 0, completes(1, "𝄞ab")))
    assert place.cursor == "4"
