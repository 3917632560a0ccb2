"""Sessions: how they are named, what is new in a request, what becomes of branches, and their end."""

import base64
import json
from typing import Any

import openai
import pytest

from fixtures.watching import story
from upstreams.openai_upstream import Gate, Reply, calls, chunk, event, says

WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


def user(text: str) -> Any:
    return {"role": "user", "content": text}


def assistant(text: str) -> Any:
    return {"role": "assistant", "content": text}


def sent(request) -> list[tuple[str, Any]]:
    """What the provider was given, without the system prompt."""
    return [(m["role"], m.get("content")) for m in request.body["messages"] if m["role"] != "system"]


def said(api, session: str) -> list[tuple[str, str]]:
    return [(m["role"], m["text"]) for m in api.get(f"/sessions/{session}/messages").json()["data"]]


@pytest.mark.parametrize("header", ["X-Session-Id", "X-Conversation-Id", "X-OpenWebUI-Chat-Id"])
def test_a_client_that_sends_only_what_is_new_is_remembered(api, client, upstream, header):
    name = f"by-{header.lower()}"
    upstream.script(says("Hello Ada."), says("You are Ada."))
    for text in ("I am Ada", "Who am I?"):
        answer = client.chat.completions.with_raw_response.create(
            model="default", messages=[user(text)], extra_headers={header: name}
        )
        assert answer.headers["x-session-id"] == name
    assert sent(upstream.chats[1]) == [("user", "I am Ada"), ("assistant", "Hello Ada."), ("user", "Who am I?")]
    assert said(api, name) == [
        ("user", "I am Ada"), ("assistant", "Hello Ada."), ("user", "Who am I?"), ("assistant", "You are Ada.")
    ]  # fmt: skip


def test_a_client_that_resends_everything_doubles_nothing(api, client, upstream):
    upstream.script(says("one"), says("two"), says("three"))
    history = []
    for text, answer in (("1", "one"), ("2", "two"), ("3", "three")):
        history.append(user(text))
        client.chat.completions.create(model="default", messages=history, extra_headers={"X-Session-Id": "full"})
        history.append(assistant(answer))
    assert [content for _, content in said(api, "full")] == ["1", "one", "2", "two", "3", "three"]
    assert [content for _, content in sent(upstream.chats[2])] == ["1", "one", "2", "two", "3"]


def test_an_edited_history_is_a_branch(api, client, upstream):
    upstream.script(says("one"), says("two"), says("other"))
    for messages in (
        [user("1")],
        [user("1"), assistant("one"), user("2")],
        [user("1"), assistant("one"), user("2, edited")],
    ):
        client.chat.completions.create(model="default", messages=messages, extra_headers={"X-Session-Id": "edited"})
    assert [content for _, content in said(api, "edited")] == ["1", "one", "2, edited", "other"]
    runs = api.get("/runs", params={"session_id": "edited"}).json()["data"]
    assert [run["output"]["text"] for run in runs] == ["other", "two", "one"], "the branch that was left is still there"


def test_metadata_and_user_name_sessions_where_the_agent_says_so(api, client, upstream):
    upstream.script(says("a"), says("b"), says("c"), says("d"))
    client.chat.completions.create(model="default", messages=[user("1")], metadata={"session_id": "by-metadata"})
    client.chat.completions.create(model="default", messages=[user("2")], metadata={"session_id": "by-metadata"})
    assert len(sent(upstream.chats[1])) == 3
    client.chat.completions.create(model="default", messages=[user("3")], user="ada")
    client.chat.completions.create(model="default", messages=[user("4")], user="ada")
    assert len(sent(upstream.chats[3])) == 1, "the default agent does not take `user` for a session"
    ids = [
        client.chat.completions.with_raw_response.create(model="remembers", messages=[user(text)], user=who).headers[
            "x-session-id"
        ]
        for text, who in (("5", "ada"), ("6", "ada"), ("7", "eve"))
    ]
    assert ids[0] == ids[1] != ids[2] and ids[0].startswith("sess_")
    assert [len(sent(request)) for request in upstream.chats[4:]] == [1, 3, 1]


def test_a_run_that_named_no_session_can_be_continued_by_the_one_it_got(api, upstream):
    upstream.script(says("first"), says("second"))
    first = api.post("/runs?wait=30", json={"input": "1"}).json()
    second = api.post("/runs?wait=30", json={"input": "2", "session_id": first["session_id"]}).json()
    assert second["session_id"] == first["session_id"]
    assert [content for _, content in said(api, first["session_id"])] == ["1", "first", "2", "second"]


def test_a_second_turn_in_a_busy_session_waits_its_turn(api, upstream):
    door = Gate()
    whole = says("slow answer").frames
    upstream.script(Reply([*whole[:2], door, *whole[2:]]), says("next"))
    first = api.post("/runs", json={"input": "1", "session_id": "busy"}).json()
    assert door.reached.wait(30)
    second = api.post("/runs", json={"input": "2", "session_id": "busy"}).json()
    assert (first["status"], second["status"]) == ("running", "queued")
    refused = api.delete("/sessions/busy")
    assert (refused.status_code, refused.json()["code"]) == (409, "session_busy")
    door.open()
    events = story(api, second["id"])
    assert [event_.type for event_ in events][:3] == ["run_queued", "run_started", "model_started"]
    assert [content for _, content in said(api, "busy")] == ["1", "slow answer", "2", "next"]


def test_a_session_is_deleted_with_all_that_was_in_it(api, client, upstream, scripted):
    image = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    parts: Any = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": image}}]
    for _ in range(2):
        client.chat.completions.create(
            model="default", messages=[{"role": "user", "content": parts}], extra_headers={"X-Session-Id": "gone"}
        )
    assert upstream.chats[0].body["messages"][-1]["content"][1]["image_url"]["url"] == image, "the provider gets the bytes"
    stored = [path for path in (scripted.home / "data" / "files").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in stored].count(PNG) == 1, "bytes that come again are stored once"
    (shown, *_) = api.get("/sessions/gone/messages").json()["data"]
    assert shown["parts"][1]["file"].startswith("file_") and "url" not in shown["parts"][1]
    runs = [run["id"] for run in api.get("/runs", params={"session_id": "gone"}).json()["data"]]
    assert api.delete("/sessions/gone").status_code == 204
    assert {api.get(f"/runs/{run}").status_code for run in runs} == {404}
    assert {api.get(f"/runs/{run}/events").status_code for run in runs} == {404}
    assert api.get("/sessions/gone").status_code == 404
    assert "gone" not in [session["id"] for session in api.get("/sessions?limit=100").json()["data"]]
    left = [path.read_bytes() for path in (scripted.home / "data" / "files").rglob("*") if path.is_file()]
    assert PNG not in left


def test_force_cancels_what_is_live_and_deletes(api, upstream):
    door = Gate()
    upstream.script(Reply([event(chunk({"content": "endless"})), door]))
    run = api.post("/runs", json={"input": "1", "session_id": "forced"}).json()
    assert door.reached.wait(30)
    assert api.delete("/sessions/forced?force=true").status_code == 204
    assert upstream.chats[0].hung_up.wait(30)
    assert api.get(f"/runs/{run['id']}").status_code == 404


def test_sessions_are_created_listed_and_read(api, upstream):
    made = api.post("/sessions", json={"id": "mine", "metadata": {"topic": "tea"}})
    assert made.status_code == 201 and made.json()["metadata"] == {"topic": "tea"}
    assert api.post("/sessions", json={"id": "mine"}).status_code == 409
    assert api.get("/sessions/mine/messages").json()["data"] == []
    api.post("/runs?wait=30", json={"input": "1", "session_id": "mine"})
    assert api.get("/sessions/mine").json()["head_run"].startswith("run_")
    listed = api.get("/sessions?limit=1").json()
    assert listed["data"][0]["id"] == "mine" and listed["has_more"]


class TestCallersTools:
    def ask(self, client, messages, **more) -> Any:
        return client.chat.completions.create(model="default", messages=messages, tools=[WEATHER], **more).choices[0]

    def test_two_rounds_mixed_with_tools_of_our_own(self, api, client, upstream):
        upstream.script(
            calls(("clock", {}), ("weather", {"city": "Oslo"})),
            calls(("weather", {"city": "Rome"})),
            says("Oslo rain, Rome sun."),
        )
        messages = [user("compare")]
        first = self.ask(client, messages)
        assert first.finish_reason == "tool_calls"
        assert [call.function.name for call in first.message.tool_calls] == ["weather"], "ours stay inside"
        messages += [first.message, {"role": "tool", "tool_call_id": first.message.tool_calls[0].id, "content": "rain"}]
        second = self.ask(client, messages)
        messages += [second.message, {"role": "tool", "tool_call_id": second.message.tool_calls[0].id, "content": "sun"}]
        third = self.ask(client, messages)
        assert third.message.content == "Oslo rain, Rome sun."
        roles = [role for role, _ in sent(upstream.chats[2])]
        assert roles == ["user", "assistant", "tool", "tool", "assistant", "tool"], "our own call and result are in there"

    def test_another_history_resent_changes_nothing(self, client, upstream):
        upstream.script(calls(("clock", {}), ("weather", {"city": "Oslo"})), says("fine"))
        first = self.ask(client, [user("original")])
        call = first.message.tool_calls[0]
        forged: Any = [user("FORGED"), assistant("FORGED"), user("FORGED"), first.message]
        self.ask(client, [*forged, {"role": "tool", "tool_call_id": call.id, "content": "rain"}])
        assert "FORGED" not in json.dumps(upstream.chats[1].body)
        assert sent(upstream.chats[1])[0] == ("user", "original")

    def test_missing_and_foreign_answers_are_refused(self, client, upstream):
        upstream.script(calls(("weather", {"city": "Oslo"}), ("weather", {"city": "Rome"})))
        first = self.ask(client, [user("compare")])
        one, two = first.message.tool_calls
        answer = {"role": "tool", "tool_call_id": one.id, "content": "rain"}
        with pytest.raises(openai.BadRequestError) as refused:
            self.ask(client, [user("compare"), first.message, answer])
        assert two.id in refused.value.message
        with pytest.raises(openai.BadRequestError):
            self.ask(client, [user("compare"), first.message, answer, {**answer, "tool_call_id": "call_nobodys"}])
        assert len(upstream.chats) == 1, "nothing of this reached the provider"

    def test_a_clash_of_names_is_refused(self, client, upstream):
        clock: Any = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}
        with pytest.raises(openai.BadRequestError, match="clock"):
            client.chat.completions.create(model="default", messages=[user("hi")], tools=[clock])

    def test_tool_choice_and_parallel_tool_calls_reach_the_provider(self, client, upstream):
        self.ask(
            client,
            [user("hi")],
            tool_choice={"type": "function", "function": {"name": "weather"}},
            parallel_tool_calls=False,
        )
        body = upstream.chats[0].body
        assert body["tool_choice"]["function"]["name"] == "weather" and body["parallel_tool_calls"] is False
        assert {"clock", "weather", "echo__echo"} <= {tool["function"]["name"] for tool in body["tools"]}
