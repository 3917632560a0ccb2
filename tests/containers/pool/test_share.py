"""What one user may have of a pool."""

import asyncio

import pytest

from agentrt.containers.pool import Lease
from agentrt.containers.workspaces import Holder
from agentrt.kernel import Exhausted
from fixtures.paper_engine import PaperEngine

from .conftest import Open

pytestmark = pytest.mark.anyio


def session(number: int, user: str = "ann") -> Holder:
    return Holder(user=user, session=f"s{number}")


async def used(lease: Lease) -> Lease:
    async with lease.use():
        pass
    return lease


async def test_a_user_who_has_the_most_gets_another_in_place_of_the_idle_one(open_: Open, paper: PaperEngine) -> None:
    async with open_(max_per_user=2) as pools:
        first, second = [await used(await pools["code"].acquire(session(number))) for number in range(2)]
        third = await pools["code"].acquire(session(2))
        assert not first.alive and second.alive and third.alive


async def test_a_user_all_of_whose_containers_work_is_told_and_nobody_else_is(open_: Open, paper: PaperEngine) -> None:
    async with open_(max_per_user=2) as pools:
        held = [await pools["code"].acquire(session(number)) for number in range(2)]
        async with held[0].use(), held[1].use():
            with pytest.raises(Exhausted, match="this user has 2 containers at work") as told:
                await pools["code"].acquire(session(2))
            assert told.value.retry_after_s
            assert (await pools["code"].acquire(session(0))) is held[0]
            assert (await pools["code"].acquire(session(0, "bob"))).alive


async def test_coming_all_at_once_does_not_get_a_user_more(open_: Open, paper: PaperEngine) -> None:
    async with open_(max_per_user=2) as pools:
        asked = (pools["code"].acquire(session(number)) for number in range(8))
        came = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(one, Lease) for one in came) == 2
        assert all(isinstance(one, Lease | Exhausted) for one in came)


async def test_callers_who_name_no_user_share_the_pool(open_: Open, paper: PaperEngine) -> None:
    async with open_(max_per_user=1) as pools:
        held = [await pools["code"].acquire(session(number, "")) for number in range(4)]
        assert all(lease.alive for lease in held)
