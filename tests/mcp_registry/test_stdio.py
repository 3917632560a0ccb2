import asyncio
import json
import os
import signal

import pytest

from agentrt.bus import McpServerChanged
from agentrt.kernel import NotFound, Principal
from agentrt.mcp_registry import Pace
from agentrt.messages import File, Image, Text
from agentrt.tools import ToolTimedOut, ToolUnavailable


def test_tools_are_found_over_all_pages_and_crooked_ones_are_straightened(seat, older) -> None:
    async def main() -> None:
        async with seat(old=older()) as s:
            tools = await s.tools()
            assert {"old__look", "old__crooked", "old__schemaless", "old__refuse"} <= set(tools)
            assert tools["old__crooked"].schema == {"type": "object", "properties": {"a": {}}}
            assert tools["old__schemaless"].schema == {"type": "object", "properties": {}}
            assert tools["old__put"].title == "Put it"
            assert "old__later" not in tools, "it runs as a task only, and we make none"

    asyncio.run(main())


def test_effects_come_from_hints_unless_the_operator_knows_better(seat, older) -> None:
    async def main() -> None:
        async with seat(old=older(effects={"sl*": "read"})) as s:
            tools = await s.tools()
            effects = {name: tools[f"old__{name}"].effect for name in ("look", "put", "slow", "schemaless", "die")}
            assert effects == {"look": "read", "put": "idempotent", "slow": "read", "schemaless": "unsafe", "die": "unsafe"}

    asyncio.run(main())


def test_both_protocols_are_spoken_and_a_call_carries_its_idempotency_key(seat, older, echo) -> None:
    async def main() -> None:
        async with seat(old=older(), new=echo) as s:
            assert {"old__look", "new__echo", "new__add", "new__slow"} <= set(await s.tools())
            protocols = {name: s.registry.show(name).protocol_version for name in ("old", "new")}
            assert protocols == {"old": "2025-11-25", "new": "2026-07-28"}
            told = json.loads((await s.call("old__meta")).text)
            assert told["agentrt/idempotency-key"] == "key-1"
            hello = await s.call("new__echo", '{"message": "Hello"}')
            assert (hello.text, hello.is_error, hello.structured) == ("Hello", False, {"result": "Hello"})
            assert (await s.call("new__add", '{"a": 1, "b": 2}')).structured == {"result": 3.0}
            assert (await s.call("new__add", '{"a": "one"}')).is_error

    asyncio.run(main())


@pytest.mark.parametrize("name", ["old__slow", "new__slow"])
def test_progress_is_heard_in_order_before_the_result(seat, older, echo, name) -> None:
    async def main() -> None:
        async with seat(old=older(), new=echo) as s:
            await s.tools()
            result = await s.call(name, '{"steps": 2}' if name.startswith("old") else '{"steps": 2, "seconds": 0.1}')
            assert result.text.startswith("done")
            assert [(o.stream, o.progress, o.total) for o in s.heard] == [("stdout", 1.0, 2.0), ("stdout", 2.0, 2.0)]

    asyncio.run(main())


def test_standard_error_is_heard_while_a_call_runs_and_kept_for_people(seat, older) -> None:
    async def main() -> None:
        async with seat(old=older()) as s:
            await s.tools()
            await s.call("old__shout")
            assert "".join(o.text for o in s.heard if o.stream == "stderr") == "first line\nsecond line\n"
            tail = s.registry.show("old").stderr
            assert tail[-2:] == ["first line", "second line"]
            assert tail[0].startswith("[agentrt] not an MCP message")

    asyncio.run(main())


def test_pictures_and_files_go_to_the_blobs_and_everything_is_kept_whole(seat, older) -> None:
    async def main() -> None:
        async with seat(old=older()) as s:
            await s.tools()
            result = await s.call("old__picture")
            assert result.parts == (
                Image(file="file_0", media_type="image/png"),
                File(file="file_1", media_type="audio/wav"),
                File(file="file_2", name="notes.bin", media_type="application/x-notes"),
                Text("file:///a/notes.txt\nin words"),
                Text("[x](https://example.com/x)"),
            )
            assert s.shelf.kept["file_2"] == (b"\x00\x01\x02", "application/x-notes", "notes.bin")
            figures = await s.call("old__figures")
            assert (figures.structured, figures.text) == ({"total": 3}, '{"total":3}')

    asyncio.run(main())


def test_what_goes_wrong_inside_a_call_is_told_to_the_model(seat, older) -> None:
    async def main() -> None:
        async with seat(old=older()) as s:
            await s.tools()
            answers = [await s.call(f"old__{name}") for name in ("broken", "refuse", "nonsense")]
            answers.append(await s.call("old__look", "{not json"))
            assert all(answer.is_error for answer in answers)
            assert [answer.text for answer in answers] == [
                "it went wrong",
                "the server refused the call: not today",
                "the server answered with something that is not a tool result",
                "the arguments are not a JSON object",
            ]

    asyncio.run(main())


def test_calls_run_in_parallel_up_to_the_cap(seat, older) -> None:
    async def main() -> None:
        async with seat(old=older(concurrency=2)) as s:
            await s.tools()
            results = await asyncio.gather(*(s.call("old__slow", '{"steps": 1}') for _ in range(5)))
            assert [result.text for result in results] == ["done"] * 5
            assert (await s.call("old__most")).text == "2"

    asyncio.run(main())


def test_a_call_that_waits_too_long_for_its_turn_times_out(seat, older) -> None:
    async def main() -> None:
        async with seat(old=older(concurrency=1)) as s:
            await s.tools()
            async with asyncio.TaskGroup() as group:
                slow = group.create_task(s.call("old__slow", '{"steps": 100}'))
                await s.heard_something.wait()
                with pytest.raises(ToolTimedOut, match="busy with other calls"):
                    await s.call("old__look", timeout_s=0.05)
                slow.cancel()

    asyncio.run(main())


@pytest.mark.parametrize("how", ["limit", "cancel"])
def test_a_call_given_up_is_cancelled_at_the_server_which_serves_on(seat, older, how) -> None:
    async def main() -> None:
        async with seat(old=older()) as s:
            await s.tools()
            if how == "limit":
                with pytest.raises(ToolTimedOut):
                    await s.call("old__slow", '{"steps": 100}', timeout_s=1)
            else:
                async with asyncio.TaskGroup() as group:
                    slow = group.create_task(s.call("old__slow", '{"steps": 100}'))
                    await s.heard_something.wait()
                    slow.cancel()
            await s.until(lambda: "cancelled" in s.registry.show("old").stderr)
            assert (await s.call("old__look")).text == "seen"

    asyncio.run(main())


def test_a_killed_server_fails_its_calls_at_once_and_comes_back(seat, older) -> None:
    async def main() -> None:
        async with seat(old=older()) as s:
            await s.tools()
            waiting = asyncio.gather(s.call("old__slow", '{"steps": 100}'), return_exceptions=True)
            await s.heard_something.wait()
            with pytest.raises(ToolUnavailable) as died:
                await s.call("old__die")
            [other] = await waiting
            assert died.value.sent and isinstance(other, ToolUnavailable) and other.sent
            assert (await s.call("old__look")).text == "seen"
            assert "I am dying" in s.registry.show("old").stderr
            assert s.registry.show("old").last_error

    asyncio.run(main())


def test_the_breaker_opens_for_a_server_that_never_starts_and_says_what_it_wrote(seat, older) -> None:
    async def main() -> None:
        async with seat(old=older("--crash", required=True), pace=Pace(backoff_s=0.01, min_calls=2, cooldown_s=60)) as s:
            assert await s.tools() == {}
            await s.until(lambda: s.registry.show("old").breaker == "open")
            view = s.registry.show("old")
            assert view.state == "failed"
            assert view.last_error == "it ended before it answered; it last wrote: no licence key found"
            assert not s.registry.connected()
            assert s.registry.health().status == "degraded"
            with pytest.raises(ToolUnavailable, match="no licence key found") as refused:
                await s.call("old__look")
            assert not refused.value.sent

    asyncio.run(main())


def test_the_breaker_lets_one_attempt_through_and_closes_when_it_works(seat, older, tmp_path) -> None:
    async def main() -> None:
        program = tmp_path / "later"
        spec = older()
        async with seat(
            later=type(spec)(command=str(program), args=spec.args), pace=Pace(backoff_s=0.01, min_calls=2, cooldown_s=0.2)
        ) as s:
            assert await s.tools() == {}
            await s.until(lambda: s.registry.show("later").breaker == "open")
            assert "the command 'later' does not exist" in (s.registry.show("later").last_error or "")
            program.symlink_to(spec.command)
            await s.state("later", "connected")
            assert s.registry.show("later").breaker == "closed"
            assert (await s.call("later__look")).text == "seen"

    asyncio.run(main())


def test_one_server_that_cannot_start_does_not_keep_the_others(seat, older, everything) -> None:
    async def main() -> None:
        unset = older(env={"TOKEN": "${NOT_SET_ANYWHERE}"})
        async with seat(good=older(), gone=type(unset)(command="no-such-command"), unset=unset) as s:
            tools = await s.tools()
            assert "good__look" in tools and not any(name.startswith(("gone", "unset")) for name in tools)
            missing = s.registry.missing(everything, Principal())
            assert missing["gone"].startswith("the command 'no-such-command' does not exist")
            assert missing["unset"] == "the environment variable NOT_SET_ANYWHERE is not set"
            assert "good" not in missing

    asyncio.run(main())


def test_a_list_that_changes_is_read_again(seat, older) -> None:
    async def main() -> None:
        async with seat(old=older()) as s:
            assert "old__extra" not in await s.tools()
            with s.bus.subscribe(McpServerChanged) as changes:
                await s.call("old__grow")
                async with asyncio.timeout(30):
                    async for change in changes:
                        if change.name == "old" and "old__extra" in await s.tools():
                            return

    asyncio.run(main())


def test_tools_stand_in_the_order_of_their_ids_whoever_is_there_first(seat, older) -> None:
    async def main() -> None:
        async with seat(zoo=older(), ant=older()) as s:
            before = list(await s.tools())
            assert before == sorted(before) and before[0].startswith("ant__")
            with s.bus.subscribe(McpServerChanged) as changes:
                await s.call("ant__grow")
                async with asyncio.timeout(30):
                    async for change in changes:
                        if change.name == "ant" and "ant__extra" in (after := await s.tools()):
                            assert [name for name in after if name != "ant__extra"] == before
                            return

    asyncio.run(main())


def test_secrets_reach_the_server_but_nobody_else(seat, older) -> None:
    async def main() -> None:
        env = {"MY_TOKEN": "hunter2-hunter2", "OTHER": "kept-at-home"}
        async with seat(env, old=older("--flag=${MY_TOKEN}", env={"TOKEN": "${MY_TOKEN}"})) as s:
            await s.tools()
            environment = json.loads((await s.call("old__environment")).text)
            assert environment["TOKEN"] == "hunter2-hunter2" and "OTHER" not in environment
            assert "the token is ***" in s.registry.show("old").stderr
            assert "hunter2" not in repr((s.registry.show("old"), s.registry.health(), s.heard))

    asyncio.run(main())


def test_reload_starts_new_servers_stops_removed_ones_and_leaves_the_rest_alone(seat, older, running) -> None:
    async def main() -> None:
        kept, changed = older(), older()
        async with seat(kept=kept, gone=older(), changed=changed) as s:
            await s.tools()
            before = {name: json.loads((await s.call(f"{name}__offspring")).text)[0] for name in ("kept", "gone", "changed")}
            await s.registry.reload({"kept": kept, "changed": older(effects={"*": "read"}), "new": older()})
            await s.until(lambda: not running(before["gone"]) and not running(before["changed"]))
            tools = await s.tools()
            assert {name.partition("__")[0] for name in tools} == {"kept", "changed", "new"}
            assert tools["changed__die"].effect == "read"
            assert json.loads((await s.call("kept__offspring")).text)[0] == before["kept"]
            with pytest.raises(ToolUnavailable):
                await s.call("gone__look")
            with pytest.raises(NotFound):
                s.registry.show("gone")

    asyncio.run(main())


def test_a_replaced_server_finishes_the_calls_it_has(seat, older) -> None:
    async def main() -> None:
        async with seat(old=older()) as s:
            await s.tools()
            async with asyncio.TaskGroup() as group:
                call = group.create_task(s.call("old__slow", '{"steps": 3}'))
                await s.heard_something.wait()
                await s.registry.reload({})
            assert call.result().text == "done"

    asyncio.run(main())


def test_closing_takes_the_server_and_what_it_started_along(seat, older, running) -> None:
    async def main() -> None:
        async with seat(old=older()) as s:
            await s.tools()
            family = json.loads((await s.call("old__offspring")).text)
            assert all(running(pid) for pid in family)
        assert not any(running(pid) for pid in family)

    asyncio.run(main())


async def said(s) -> str | None:
    """What the tool says; None where its server was lost just now."""
    try:
        return (await s.call("old__look")).text
    except ToolUnavailable:
        return None


def test_a_supervisor_that_is_killed_takes_its_server_along(seat, older, running) -> None:
    async def main() -> None:
        async with seat(old=older()) as s:
            await s.tools()
            server, supervisor, grandchild = json.loads((await s.call("old__offspring")).text)
            os.kill(supervisor, signal.SIGKILL)
            await s.until(lambda: not running(server))
            os.kill(grandchild, signal.SIGKILL)
            async with asyncio.timeout(30):
                while (text := await said(s)) is None:
                    continue  # that it is gone was not noticed yet
            assert text == "seen"

    asyncio.run(main())


def test_an_agent_that_does_not_use_a_server_neither_waits_for_it_nor_sees_it(seat, older, everything) -> None:
    async def main() -> None:
        asleep = type(older())(command="sleep", args=("60",))
        narrow = type(everything)(name="narrow", tools=("good__*", "clock"))
        async with seat(good=older(), asleep=asleep, wait_s=600) as s:
            assert "good__look" in await s.tools(narrow)
        async with seat(good=older(), asleep=asleep, wait_s=0.5) as s:
            await s.state("good", "connected")
            assert "good__look" in await s.tools(everything)
            assert s.registry.missing(everything, Principal()) == {"asleep": "it is still starting"}
            assert s.registry.missing(narrow, Principal()) == {}
            assert s.registry.health().status == "starting"

    asyncio.run(main())


def test_a_server_that_is_switched_off_is_shown_and_not_started(seat, older) -> None:
    async def main() -> None:
        async with seat(off=older(disabled=True, required=True)) as s:
            assert await s.tools() == {}
            assert s.registry.show("off").state == "disabled"
            assert s.registry.connected()
            assert s.registry.health().status == "off"
            with pytest.raises(ToolUnavailable, match="switched off"):
                await s.call("off__look")

    asyncio.run(main())


def test_a_server_that_does_not_answer_in_time_is_given_up(seat, older) -> None:
    async def main() -> None:
        silent = type(older())(command="sleep", args=("60",), connect_timeout=0.2)
        async with seat(silent=silent) as s:
            assert await s.tools() == {}
            assert s.registry.show("silent").last_error == "it did not answer in time"

    asyncio.run(main())


def test_invalid_is_what_a_contradictory_entry_is(seat, older) -> None:
    async def main() -> None:
        both = older(url="http://127.0.0.1:1/mcp")
        async with seat(both=both, sse=type(both)(type="sse", url="http://127.0.0.1:1/sse"), nothing=type(both)()) as s:
            await s.tools()
            errors = {name: s.registry.show(name).last_error or "" for name in ("both", "sse", "nothing")}
            assert errors["both"] == "it has both a command and a url; keep one of them"
            assert errors["sse"].startswith("type sse is the transport of 2024")
            assert errors["nothing"] == "it has neither a command nor a url"

    asyncio.run(main())
