"""What the log promises to those who write, on both databases."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from agentrt.events import FinalText, RunCompleted
from agentrt.journal import Journal
from agentrt.kernel import Conflict, Invalid, Unavailable
from fixtures.journals import OpenJournal, opener


def said(*texts: str) -> list[FinalText]:
    return [FinalText(text=t) for t in texts]


async def texts(journal: Journal, run_id: str) -> list[str]:
    return [record.event.text for record in await journal.read(run_id) if isinstance(record.event, FinalText)]


@pytest.mark.anyio
async def test_events_stand_in_the_log_in_the_order_they_were_appended(open_journal: OpenJournal) -> None:
    async with open_journal() as journal:
        first = await journal.append("run_a", said("one", "two"))
        second = await journal.append("run_a", said("three"))
        assert [(r.run_id, r.seq) for r in (*first, *second)] == [("run_a", 1), ("run_a", 2), ("run_a", 3)]
        assert await journal.read("run_a") == [*first, *second]
        assert await journal.read("run_a", after=2) == second
        assert await journal.read("run_b") == []
    async with open_journal() as journal:
        assert await texts(journal, "run_a") == ["one", "two", "three"]
        assert (await journal.append("run_a", said("four")))[0].seq == 4


@pytest.mark.anyio
async def test_appends_of_many_runs_are_committed_together(open_journal: OpenJournal) -> None:
    async with open_journal() as journal:
        runs = [f"run_{n}" for n in range(200)]
        before = await transactions(journal)
        await asyncio.gather(*(journal.append(run_id, said(run_id, "x")) for run_id in runs))
        assert await transactions(journal) - before < len(runs) / 2
        assert [await texts(journal, run_id) for run_id in runs] == [[run_id, "x"] for run_id in runs]
        assert await tallied(journal) == dict.fromkeys(runs, 2)


@pytest.mark.anyio
async def test_an_intent_is_refused_once_the_log_has_moved_on_and_fails_nobody_else(open_journal: OpenJournal) -> None:
    async with open_journal() as journal:
        await journal.append("run_a", said("start"))
        outcomes = await asyncio.gather(
            *(journal.append("run_a", said(f"intent {n}"), after=1) for n in range(5)),
            journal.append("run_b", said("b")),
            journal.append("run_b", said("too late"), after=7),
            return_exceptions=True,
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
        assert len(refused) == 5
        assert len(await texts(journal, "run_a")) == 2
        assert await texts(journal, "run_b") == ["b"]
        assert await tallied(journal) == {"run_a": 2, "run_b": 1}


@pytest.mark.anyio
async def test_a_run_that_is_there_cannot_begin_again(open_journal: OpenJournal) -> None:
    async with open_journal() as journal:
        await journal.append("run_a", said("start"), after=0)
    async with open_journal() as journal:
        with pytest.raises(Conflict):
            await journal.append("run_a", said("again"), after=0)
        assert await texts(journal, "run_a") == ["start"]


@pytest.mark.anyio
async def test_facts_are_never_dropped_whatever_intents_do(open_journal: OpenJournal) -> None:
    async with open_journal() as journal:
        await journal.append("run_a", said("start"))

        async def decide(n: int) -> None:
            for _ in range(40):
                head = (await journal.read("run_a"))[-1].seq
                try:
                    await journal.append("run_a", said(f"intent {n}"), after=head)
                except Conflict:
                    continue
                return

        facts = [f"fact {n}" for n in range(50)]
        await asyncio.gather(*(journal.append("run_a", said(fact)) for fact in facts), *(decide(n) for n in range(5)))
        records = await journal.read("run_a")
        assert [record.seq for record in records] == list(range(1, len(records) + 1))
        assert set(facts) <= set(await texts(journal, "run_a"))


@pytest.mark.anyio
@pytest.mark.parametrize("bad", ["break the projection", "touch nothing", "no encoding for \ud800"])
async def test_a_bad_append_does_not_fail_its_neighbours(open_journal: OpenJournal, bad: str) -> None:
    async with open_journal() as journal:
        outcomes = await asyncio.gather(
            *(journal.append(f"run_{n}", said("good")) for n in range(10)),
            journal.append("run_bad", said(bad)),
            *(journal.append(f"run_{n}", said("good")) for n in range(10)),
            return_exceptions=True,
        )
        assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Exception)] == [10]
        assert await tallied(journal) == {f"run_{n}": 2 for n in range(10)}
        assert (await journal.append("run_bad", said("better")))[0].seq == 1


@pytest.mark.anyio
@pytest.mark.parametrize("bad", ["store what no column takes", "no encoding for \ud800"])
async def test_a_value_that_the_database_refuses_is_nobodys_outage(open_journal: OpenJournal, bad: str) -> None:
    async with open_journal() as journal:
        await journal.append("run_a", said("good"))
        with pytest.raises(Invalid, match="cannot store this"):
            await journal.append("run_a", said(bad))
        assert journal.trouble() == ""
        assert await texts(journal, "run_a") == ["good"]


@pytest.mark.anyio
async def test_a_nul_that_postgresql_refuses_is_nobodys_outage_either(postgres_url: str) -> None:
    async with opener(postgres_url.replace("postgresql:", "postgresql+asyncpg:"))() as journal:
        with pytest.raises(Invalid, match="cannot store this"):
            await journal.append("run_\x00", said("good"))
        assert journal.trouble() == ""


@pytest.mark.anyio
async def test_what_follows_an_end_in_the_same_moment_stands_behind_it(open_journal: OpenJournal) -> None:
    async with open_journal() as journal:
        await journal.append("run_a", said("start"))
        ended, late = await asyncio.gather(journal.append("run_a", [RunCompleted()]), journal.append("run_a", said("late")))
        assert (ended[0].seq, late[0].seq) == (2, 3)
        assert len(await journal.read("run_a")) == 3


@pytest.mark.anyio
async def test_an_append_whose_caller_left_is_written_all_the_same(open_journal: OpenJournal) -> None:
    async with open_journal() as journal:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(journal.append("run_a", said("paid for")))
            group.create_task(cancel(task))
        assert task.cancelled()
        await journal.append("run_a", said("next"))
        assert await texts(journal, "run_a") == ["paid for", "next"]


async def cancel(task: "asyncio.Task[object]") -> None:
    task.cancel()


@pytest.mark.anyio
async def test_closing_writes_what_was_submitted(open_journal: OpenJournal) -> None:
    async with asyncio.TaskGroup() as group:
        async with open_journal() as journal:
            waiting = [group.create_task(journal.append(f"run_{n}", said("x"))) for n in range(50)]
            await journal.append("run_last", said("x"))
        assert [task.result()[0].seq for task in waiting] == [1] * 50
    async with open_journal() as journal:
        assert len(await tallied(journal)) == 51


@pytest.mark.anyio
async def test_purging_leaves_other_runs_alone(open_journal: OpenJournal) -> None:
    async with open_journal() as journal:
        for run_id in ("run_a", "run_b"):
            await journal.append(run_id, [*said("x"), RunCompleted()])
        await journal.purge(["run_a"])
        assert await journal.read("run_a") == [] and len(await journal.read("run_b")) == 2
        assert await journal.begun(["run_a", "run_b", "run_never"]) == {"run_b"}


WRITER = """
import asyncio, sys
from agentrt.bus import Bus
from agentrt.db import Database
from agentrt.events import FinalText
from agentrt.journal import Journal
from agentrt.kernel import SystemClock

async def write(journal, run_id):
    while True:
        (record,) = await journal.append(run_id, [FinalText(text="x" * 500)])
        print(run_id, record.seq, flush=True)

async def main():
    async with Journal(Database(sys.argv[1]), Bus(), SystemClock(), []) as journal:
        await asyncio.gather(*(write(journal, f"run_{n}") for n in range(8)))

asyncio.run(main())
"""


def test_nothing_that_was_acknowledged_is_lost_when_the_writer_is_killed(open_journal: OpenJournal, database_url: str) -> None:
    asyncio.run(opened(open_journal))
    with subprocess.Popen([sys.executable, "-c", WRITER, database_url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = [next(process.stdout) for _ in range(300)]
        os.kill(process.pid, signal.SIGKILL)
        seen += process.stdout.readlines()
    acknowledged = {(run_id, int(seq)) for run_id, seq in (line.split() for line in seen if line.endswith("\n"))}
    asyncio.run(holds(open_journal, acknowledged))


async def opened(open_journal: OpenJournal) -> None:
    async with open_journal():
        pass


async def holds(open_journal: OpenJournal, acknowledged: set[tuple[str, int]]) -> None:
    async with open_journal() as journal:
        logs = {f"run_{n}": [record.seq for record in await journal.read(f"run_{n}")] for n in range(8)}
        assert acknowledged <= {(run_id, seq) for run_id, seqs in logs.items() for seq in seqs}
        assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in logs.values())
        assert (await journal.append("run_0", said("on")))[0].seq == len(logs["run_0"]) + 1


def writing_connection(journal: Journal) -> sqlite3.Connection:
    """The journal's own connection, for what only a connection can be made to refuse."""
    return journal._writer._conn  # type: ignore[union-attr]


@pytest.mark.anyio
async def test_a_full_disk_is_a_sentence_and_writing_goes_on_once_there_is_room(open_on_sqlite: OpenJournal) -> None:
    async with open_on_sqlite() as journal:
        await journal.append("run_a", said("small"))
        connection = writing_connection(journal)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 2}")
        outcomes = await asyncio.gather(
            journal.append("run_big", said("x" * 100_000)), journal.append("run_b", said("fits")), return_exceptions=True
        )
        assert isinstance(outcomes[0], Unavailable) and outcomes[0].message == "the database refuses: the disk is full"
        assert await texts(journal, "run_b") == ["fits"]
        connection.execute("PRAGMA max_page_count=1000000")
        await journal.append("run_big", said("x" * 100_000))
        assert len(await texts(journal, "run_big")) == 1


@pytest.mark.anyio
async def test_a_read_only_database_is_a_sentence(open_on_sqlite: OpenJournal) -> None:
    async with open_on_sqlite() as journal:
        writing_connection(journal).execute("PRAGMA query_only=ON")
        with pytest.raises(Unavailable) as why:
            await journal.append("run_a", said("x"))
        assert why.value.message == "the database refuses: it is read-only"
        writing_connection(journal).execute("PRAGMA query_only=OFF")
        assert (await journal.append("run_a", said("x")))[0].seq == 1


@pytest.mark.anyio
async def test_all_who_wait_for_a_locked_database_are_refused_after_one_wait(open_on_sqlite: OpenJournal, tmp_path: Path) -> None:
    async with open_on_sqlite() as journal:
        writing_connection(journal).execute("PRAGMA busy_timeout=500")
        other = sqlite3.connect(tmp_path / "agentrt.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(30):
            outcomes = await asyncio.gather(*(journal.append(f"run_{n}", said("x")) for n in range(100)), return_exceptions=True)
        assert {str(outcome) for outcome in outcomes} == {"the database refuses: another process holds it locked"}
        other.execute("ROLLBACK")
        other.close()
        assert (await journal.append("run_0", said("x")))[0].seq == 1


@pytest.mark.anyio
async def test_a_postgresql_that_goes_away_and_comes_back_is_written_to_again(postgres_url: str) -> None:
    admin_url, _, name = postgres_url.rpartition("/")
    async with opener(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))() as journal:
        await journal.append("run_a", said("before"))
        admin = await asyncpg.connect(admin_url + "/postgres")
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        outcomes = await asyncio.gather(*(journal.append(f"run_{n}", said("x")) for n in range(3)), return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        with pytest.raises(Unavailable):
            await journal.read("run_a")
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await admin.close()
        assert (await journal.append("run_a", said("after")))[0].seq == 2
        assert await texts(journal, "run_a") == ["before", "after"]


async def transactions(journal: Journal) -> int:
    """How many transactions have written something so far."""
    if journal._db.dialect == "sqlite":
        seen = journal._writer.__dict__.setdefault("seen_commits", [])
        connection = writing_connection(journal)
        connection.set_trace_callback(lambda sql: seen.append(sql) if sql == "COMMIT" else None)
        return len(seen)
    async with journal._db.read() as conn:
        return await conn.scalar(text("SELECT txid_current()")) or 0


async def tallied(journal: Journal) -> dict[str, int]:
    """What the projection of the fixture has counted."""
    async with journal._db.read() as conn:
        rows = await conn.execute(text("SELECT run_id, n FROM tally"))
        return {row.run_id: row.n for row in rows}
