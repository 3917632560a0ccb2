"""Watching a run as it happens, leaving, and coming back."""

import threading

import pytest

from fixtures.watching import parse, story, text_of, types, watching
from upstreams.openai_upstream import Gate, Reply, calls, chunk, event, says, streams, wait_until

LINE = "The quick brown fox – ähem, 🦊 – jumps over the lazy dog."


def halting(text: str, *gates: int) -> tuple[Reply, list[Gate]]:
    """A stream of `text`, a character at a time, that halts before each of these places."""
    doors = {at: Gate() for at in gates}
    whole = says(text, size=1)
    frames: list[bytes | float | Gate] = [whole.frames[0]]
    for at, frame in enumerate(whole.frames[1:]):
        frames += [doors[at], frame] if at in doors else [frame]
    return Reply(frames), list(doors.values())


def until_text(events, length):
    """Events read until `length` characters are there, and the last id."""
    seen = []
    for event_ in events:
        seen.append(event_)
        if len(text_of(seen)) >= length:
            return seen
    raise AssertionError("the stream ended early")


def test_a_watcher_that_comes_back_in_mid_text_misses_and_repeats_nothing(api, upstream):
    reply, (first, second) = halting(LINE, 10, 30)
    upstream.script(reply)
    run = api.post("/runs", json={"input": "go"}).json()
    with watching(api, run["id"]) as events:
        seen = until_text(events, 10)
    assert text_of(seen) == LINE[:10] and seen[-1].id.endswith(".10")
    first.open()
    with watching(api, run["id"], seen[-1].id) as events:
        more = until_text(events, 20)
    assert text_of(seen + more) == LINE[:30]
    second.open()
    rest = story(api, run["id"], more[-1].id)
    assert text_of(seen + more + rest) == LINE
    assert types(rest) == ["text_delta", "model_completed", "final_text", "run_completed"]
    late = story(api, run["id"], seen[-1].id)
    assert text_of(seen) + text_of(late) == LINE, "the same cursor gives the same rest once the run has ended"


def test_the_query_takes_the_same_cursor(api, upstream):
    upstream.script(says(LINE))
    run = api.post("/runs?wait=30", json={"input": "go"}).json()
    with api.stream("GET", f"/runs/{run['id']}/events?after=2.7") as answer:
        assert text_of(list(parse(answer.iter_lines()))) == LINE[7:]


def test_a_reader_at_the_end_of_an_ended_run_is_sent_away(api, upstream):
    upstream.script(says(LINE))
    run = api.post("/runs?wait=30", json={"input": "go"}).json()
    events = story(api, run["id"])
    for cursor in (events[-1].id, str(int(events[-1].id) + 5)):
        assert api.get(f"/runs/{run['id']}/events", headers={"last-event-id": cursor}).status_code == 204


@pytest.mark.parametrize("cursor", ["abc", "-1", "1.", ".5", "1.5.5", "1e3", "9" * 400, "1;DROP"])
def test_a_bad_cursor_is_refused(api, upstream, cursor):
    run = api.post("/runs?wait=30", json={"input": "go"}).json()
    answer = api.get(f"/runs/{run['id']}/events", headers={"last-event-id": cursor})
    assert answer.status_code == 400 and answer.json()["param"] == "after"


def test_many_watch_the_same_run_and_read_the_same(api, upstream):
    reply, (door,) = halting(LINE, 20)
    upstream.script(reply)
    run = api.post("/runs", json={"input": "go"}).json()
    told = []
    readers = [threading.Thread(target=lambda: told.append(story(api, run["id"]))) for _ in range(5)]
    for reader in readers:
        reader.start()
    assert door.reached.wait(30)
    door.open()
    for reader in readers:
        reader.join(30)
    assert [text_of(events) for events in told] == [LINE] * 5
    assert len({tuple(types(events)) for events in told}) == 1


def test_reasoning_is_told_without_a_cursor_of_its_own(api, upstream):
    upstream.script(streams({"reasoning_content": "First I think."}, {"content": "Then I speak."}))
    run = api.post("/runs", json={"input": "go"}).json()
    events = story(api, run["id"])
    assert all(not event_.id for event_ in events if event_.type == "reasoning_delta")
    assert text_of(events) == "Then I speak."


def test_cancelling_reaches_the_provider_and_ends_the_stream_of_events(api, upstream):
    reply, _ = halting(LINE, 5)
    upstream.script(reply)
    run = api.post("/runs", json={"input": "go"}).json()
    with watching(api, run["id"]) as events:
        seen = until_text(events, 5)
        cancelled = api.post(f"/runs/{run['id']}/cancel").json()
        seen += list(events)
    assert cancelled["status"] == "cancelled" and seen[-1].type == "run_cancelled"
    assert upstream.chats[0].hung_up.wait(30)
    assert api.post(f"/runs/{run['id']}/cancel").json()["status"] == "cancelled"
    assert api.get(f"/runs/{run['id']}").json()["ended_at"]


def test_cancelling_reaches_a_running_tool(api, upstream):
    upstream.script(calls(("echo__slow", {"seconds": 30, "steps": 300})))
    run = api.post("/runs", json={"input": "go"}).json()
    with watching(api, run["id"]) as events:
        assert any(event_.type == "tool_stdout" for event_ in events)
        assert api.post(f"/runs/{run['id']}/cancel").json()["status"] == "cancelled"
        rest = list(events)
    assert types(rest)[-2:] == ["tool_failed", "run_cancelled"]
    again = api.post("/runs?wait=30", json={"input": "Echo: still there", "agent": "offline"}).json()
    assert again["output"]["text"].endswith("still there")


def test_a_wait_that_is_over_shows_the_run_as_it_is(api, upstream):
    reply, (door,) = halting(LINE, 5)
    upstream.script(reply)
    run = api.post("/runs?wait=1", json={"input": "go"}).json()
    assert run["status"] == "running" and run["output"] is None
    door.open()
    wait_until(lambda: api.get(f"/runs/{run['id']}").json()["status"] == "completed")


def test_an_autonomous_run_goes_on_until_it_says_that_it_is_done(api, upstream):
    upstream.script(says("I have begun."), calls(("finish_task", {"result": "All done."})))
    run = api.post("/runs?wait=30", json={"input": "work", "agent": "worker"}).json()
    assert (run["status"], run["output"], run["mode"]) == ("completed", {"text": "All done."}, "autonomous")
    upstream.script(*[says("Still at it.") for _ in range(4)])
    endless = api.post("/runs?wait=30", json={"input": "work", "agent": "worker"}).json()
    assert (endless["status"], endless["error"]["code"]) == ("failed", "budget_exceeded")
    assert "budget_exceeded" in types(story(api, endless["id"]))


def test_runs_are_listed_newest_first_page_by_page(api, upstream):
    made = [api.post("/runs?wait=30", json={"input": f"n{i}", "session_id": "listing"}).json()["id"] for i in range(5)]
    first = api.get("/runs", params={"session_id": "listing", "limit": 2}).json()
    assert [run["id"] for run in first["data"]] == made[:2:-1] and first["has_more"]
    second = api.get("/runs", params={"session_id": "listing", "limit": 2, "after": first["last_id"]}).json()
    assert [run["id"] for run in second["data"]] == made[2:0:-1]
    back = api.get("/runs", params={"session_id": "listing", "order": "asc", "status": "completed", "agent": "default"}).json()
    assert [run["id"] for run in back["data"]] == made and not back["has_more"]


def test_the_same_key_starts_one_run(api, upstream):
    reply, (door,) = halting(LINE, 5)
    upstream.script(reply)
    key = {"idempotency-key": "runs-1"}
    first = api.post("/runs", json={"input": "go"}, headers=key)
    assert door.reached.wait(30)
    during = api.post("/runs", json={"input": "go"}, headers=key)
    assert during.json()["id"] == first.json()["id"] and during.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    other = api.post("/runs", json={"input": "stop"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_mismatch")
    door.open()
    after = api.post("/runs?wait=30", json={"input": "go"}, headers=key).json()
    assert (after["id"], after["status"]) == (first.json()["id"], "completed")
    assert len(upstream.chats) == 1


def test_a_run_that_is_streamed_is_streamed_again_for_the_same_key(api, upstream):
    reply, (door,) = halting(LINE, 5)
    upstream.script(reply)
    ask = {"json": {"input": "go", "stream": True}, "headers": {"idempotency-key": "runs-2"}}
    told = []
    first = threading.Thread(target=lambda: told.append(api.post("/runs", **ask)))
    first.start()
    assert door.reached.wait(30)
    again = threading.Thread(target=lambda: told.append(api.post("/runs", **ask)))
    again.start()
    door.open()
    for reader in (first, again):
        reader.join(30)
    late = api.post("/runs", **ask)
    assert len(upstream.chats) == 1
    stories = [list(parse(answer.text.splitlines())) for answer in (*told, late)]
    assert [text_of(events) for events in stories] == [LINE] * 3
    assert [events[-1].type for events in stories] == ["run_completed"] * 3
    assert len({answer.headers["x-run-id"] for answer in (*told, late)}) == 1
    assert sorted(answer.headers.get("idempotency-replayed", "") for answer in (*told, late)) == ["", "true", "true"]
    plain = api.post("/runs", json={"input": "go"}, headers=ask["headers"])
    assert (plain.status_code, plain.json()["code"]) == (409, "idempotency_mismatch")


def test_a_stream_is_given_again_for_the_same_key(api, upstream):
    reply, (door,) = halting(LINE, 5)
    upstream.script(reply)
    key = {"idempotency-key": "chat-1"}
    body = {"model": "default", "messages": [{"role": "user", "content": "go"}], "stream": True}
    told = []

    def ask() -> None:
        answer = api.post("/v1/chat/completions", json=body, headers=key)
        told.append((answer.text, answer.headers.get("idempotency-replayed")))

    readers = [threading.Thread(target=ask) for _ in range(2)]
    readers[0].start()
    assert door.reached.wait(30)
    readers[1].start()
    door.open()
    for reader in readers:
        reader.join(30)
    ask()
    assert sorted(str(replayed) for _, replayed in told) == ["None", "true", "true"]
    ids = {line.split('"id":"')[1].split('"')[0] for text, _ in told for line in text.splitlines() if '"id":"' in line}
    assert len(ids) == 1 and all(text.rstrip().endswith("data: [DONE]") for text, _ in told)
    assert len(upstream.chats) == 1


def test_what_a_stream_cannot_carry_in_one_line_is_escaped(api, upstream):
    odd = "a\u2028b\u0085c\r\nd\x00e"
    upstream.script(Reply([event(chunk({"content": odd})), event(chunk({}, "stop")), b"data: [DONE]\n\n"]))
    run = api.post("/runs?wait=30", json={"input": "go"}).json()
    assert run["output"]["text"].startswith("a\u2028b")
    assert text_of(story(api, run["id"])) == odd
