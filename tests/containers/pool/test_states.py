"""What may become of a box, by trying everything."""

import random
from itertools import product

from agentrt.containers.pool import BoxStates
from agentrt.containers.pool.states import ALIVE, BOUND, NEXT


def walk(seed: int) -> list[str]:
    """Where chance leads, from the beginning to the end."""
    states, chance = BoxStates(), random.Random(seed)
    seen = [states.state]
    while NEXT[states.state]:
        assert states.go(chance.choice(NEXT[states.state]))
        seen.append(states.state)
    return seen


def at(wanted: str) -> BoxStates:
    """A box in that state, by the shortest way."""
    ways = [["creating"]]
    while ways[0][-1] != wanted:
        way = ways.pop(0)
        ways += [[*way, after] for after in NEXT[way[-1]]]
    states = BoxStates()
    for state in ways[0][1:]:
        assert states.go(state)
    return states


def test_every_walk_ends_removed_after_draining_and_counts_its_moves() -> None:
    walks = [walk(seed) for seed in range(2000)]
    assert {tuple(path[-2:]) for path in walks} == {("draining", "removed")}
    assert {state for path in walks for state in path} == set(NEXT)


def test_only_the_ways_of_the_table_lead_anywhere() -> None:
    for here, there in product(NEXT, NEXT):
        states = at(here)
        generation = states.generation
        moved = states.move(here, generation, there)
        assert moved == (there in NEXT[here])
        assert (states.state, states.generation) == ((there, generation + 1) if moved else (here, generation))


def test_of_many_who_saw_the_same_state_one_moves_it() -> None:
    for here in ALIVE:
        states = at(here)
        generation = states.generation
        tries = [states.move(here, generation, there) for there in random.Random(here).choices(NEXT[here], k=20)]
        assert tries.count(True) == 1 and tries[0]


def test_a_state_that_was_left_and_reached_again_is_another_one() -> None:
    states = at("idle")
    seen = states.generation
    assert states.go("running") and states.go("idle")
    assert not states.move("idle", seen, "paused")
    assert states.move("idle", seen + 2, "paused")


def test_a_bound_box_is_never_warm_again() -> None:
    reached, front = set(), set(BOUND)
    while front:
        reached |= front
        front = {after for state in front for after in NEXT[state]} - reached
    assert "warm" not in reached and "creating" not in reached


def test_everything_alive_can_die_and_be_ended() -> None:
    assert all({"failed", "draining"} <= set(NEXT[state]) for state in ALIVE)
