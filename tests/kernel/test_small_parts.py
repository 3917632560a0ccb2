"""Ids, times, pauses, breakers, variables: the words everything else is written in."""

import re
from pathlib import Path

import pytest

from agentrt.kernel import Breaker, Invalid, body_of, delay, expand, is_id, lookup, names_in, new_id, rfc3339, suggest


def test_an_id_is_a_uuid_of_its_time() -> None:
    made = new_id("run")
    assert re.fullmatch(r"run_[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", made)
    assert is_id("run", made) and not is_id("sess", made)
    assert body_of(made) == made.removeprefix("run_")


def test_ids_differ_and_sort_by_birth() -> None:
    made = [new_id("run") for _ in range(5000)]
    assert len(set(made)) == 5000
    births = [int(id_[4:16], 16) for id_ in made]
    assert births == sorted(births)


@pytest.mark.parametrize(
    "odd", ["", "run_", "run_1", "run_" + "G" * 32, "run_" + "0" * 33, "run_" + "0" * 32 + "\n", "RUN_" + "0" * 32]
)
def test_what_is_no_id(odd: str) -> None:
    assert not is_id("run", odd)


def test_times_are_rfc_3339_in_utc_to_the_microsecond() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000000Z"
    assert rfc3339(1_767_225_599_999_999) == "2025-12-31T23:59:59.999999Z"


def test_pauses_grow_up_to_their_ceiling_and_differ() -> None:
    for attempt, most in [(1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (10_000, 30.0)]:
        drawn = [delay(attempt) for _ in range(50)]
        assert all(most / 2 <= pause <= most for pause in drawn)
    assert len(set(drawn)) > 1


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def broken(time: Time, **settings: float) -> Breaker:
    breaker = Breaker(min_calls=2, cooldown_s=5, max_cooldown_s=15, clock=time, **settings)
    for _ in range(2):
        assert breaker.allow()
        breaker.record(False)
    return breaker


def test_a_breaker_opens_after_failures_and_lets_one_probe_through_later() -> None:
    breaker = broken(time := Time())
    assert (breaker.state, breaker.allow(), breaker.retry_in()) == ("open", False, 5.0)
    time.now = 5.0
    assert (breaker.allow(), breaker.state, breaker.allow()) == (True, "half_open", False)
    breaker.record(True)
    assert (breaker.state, breaker.allow(), breaker.retry_in()) == ("closed", True, 0.0)


def test_a_probe_that_fails_doubles_the_wait_up_to_a_limit_and_success_forgets_it() -> None:
    breaker = broken(time := Time())
    for wait in (5.0, 10.0, 15.0, 15.0):
        assert breaker.retry_in() == wait
        time.now += wait
        assert breaker.allow()
        breaker.record(False)
    time.now += 15
    assert breaker.allow()
    breaker.record(True)
    for _ in range(2):
        breaker.record(False)
    assert breaker.retry_in() == 5.0


def test_a_probe_that_was_cancelled_leaves_the_next_one_free() -> None:
    breaker = broken(time := Time())
    time.now = 5.0
    assert breaker.allow()
    breaker.release()
    assert breaker.allow()


def test_failures_among_many_successes_and_old_ones_do_not_open_it() -> None:
    breaker = Breaker(min_calls=4, window_s=10, clock=(time := Time()))
    for ok in (True, True, False, True, True, False):
        breaker.record(ok)
    assert breaker.state == "closed"
    time.now = 11.0
    for _ in range(3):
        breaker.record(False)
    assert breaker.state == "closed"
    breaker.record(False)
    assert breaker.state == "open"


def test_variables_are_put_in_and_a_missing_one_is_named(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    env = {"HOST": "a", "EMPTY": "", "KEY_FILE": str(secret)}
    assert expand("${HOST}/${PORT:-80}/${EMPTY:-none}/${KEY}", env) == "a/80/none/s3cret"
    assert expand("$HOST {HOST} $${", env) == "$HOST {HOST} $${"
    with pytest.raises(Invalid, match="NOBODY is not set"):
        expand("${NOBODY}", env)
    assert names_in("${A} ${B:-${C}} $D") == {"A", "B"} or names_in("${A} ${B:-x} $D") == {"A", "B"}


def test_a_secret_s_file_that_cannot_be_read_is_named_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refused:
        lookup({"KEY_FILE": str(tmp_path / "missing")}, "KEY")
    assert "KEY_FILE" in refused.value.message and str(tmp_path) not in refused.value.message
    assert lookup({}, "KEY") is None


@pytest.mark.parametrize(("word", "meant"), [("modle", "model"), ("promt", "prompt"), ("desc", "description"), ("zzz", "")])
def test_a_slip_is_answered_with_what_was_meant(word: str, meant: str) -> None:
    said = suggest(word, ["mode", "model", "prompt", "description"])
    assert said == (f" (did you mean '{meant}'?)" if meant else "")
