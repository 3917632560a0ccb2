"""Any MCP client runs code in a sandbox of its user's own, and everything it does is a run."""

import base64
import json
from typing import Any

import anyio
import httpx2
import pytest
from mcp import MCPError

from fixtures.code_server import CodeServer

pytestmark = pytest.mark.anyio

LOOP = "import time\nfor n in range(2000):\n    print(n, flush=True)\n    time.sleep(0.05)"


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """Somebody of this test alone."""
    return f"user-{abs(hash(request.node.name)) % 10**9}"


def run_of(result: Any) -> str:
    return result.meta["agentrt/run-id"]


async def until_cancelled(server: CodeServer, user: str, within_s: float = 30.0) -> dict[str, Any]:
    """The newest run, once it was cancelled."""
    async with httpx2.AsyncClient(base_url=server.url, headers={"x-user-id": user}, timeout=50) as http:
        run = (await http.get("/runs?limit=1")).json()["data"][0]
        with anyio.fail_after(within_s):
            await http.get(f"/runs/{run['id']}/events")  # to the run's end
        ended = (await http.get(f"/runs/{run['id']}")).json()
        assert (ended["status"], ended["metadata"]) == ("cancelled", {"via": "mcp"})
        return ended


async def test_the_tools_say_what_they_take_give_and_do(code_server: CodeServer, speak) -> None:
    async with speak(code_server) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert {"execute_python", "execute_bash", "read_file", "write_file", "edit_file", "list_files", "glob_files"} <= tools.keys()
    python = tools["execute_python"]
    assert python.title == "Execute Python" and python.input_schema["required"] == ["code"]
    assert {"code", "timeout_s", "stateful", "session"} == python.input_schema["properties"].keys()
    assert {"exit_code", "stdout", "stderr"} <= set(python.output_schema["required"])
    assert python.annotations.destructive_hint and not python.annotations.read_only_hint
    assert tools["read_file"].annotations.read_only_hint
    assert tools["write_file"].annotations.idempotent_hint
    assert all(tool.description for tool in tools.values())


async def test_two_and_two_is_four_and_a_run_has_it(code_server: CodeServer, speak, user) -> None:
    async with speak(code_server, user) as client:
        result = await client.call_tool("execute_python", {"code": "print(2 + 2)"})
    assert [block.text for block in result.content] == ["4"] and not result.is_error
    shown = {name: result.structured_content[name] for name in ("exit_code", "stdout", "stderr", "state_lost")}
    assert shown == {"exit_code": 0, "stdout": "4\n", "stderr": "", "state_lost": False}
    with code_server.client(user) as http:
        run = http.get(f"/runs/{run_of(result)}").json()
        (step,) = http.get(f"/runs/{run_of(result)}/steps").json()["data"]
    assert (run["status"], run["agent"], run["metadata"]) == ("completed", "code-executor", {"via": "mcp"})
    assert (step["name"], step["status"], json.loads(step["arguments"])) == (
        "execute_python", "completed", {"code": "print(2 + 2)"},
    )  # fmt: skip


async def test_variables_stay_and_a_named_session_has_its_own(code_server: CodeServer, speak, user) -> None:
    async with speak(code_server, user) as client:
        await client.call_tool("execute_python", {"code": "x = 41; open('here.txt', 'w').write('mine')"})
        elsewhere = await client.call_tool("execute_python", {"code": "'x' in dir()", "session": "other"})
        assert elsewhere.structured_content["result"] == "False" and elsewhere.meta["agentrt/session"] == "other"
        listed = await client.call_tool("list_files", {"session": "other"})
        assert listed.structured_content["files"] == []
    async with speak(code_server, user) as client:  # another connection of the same person
        again = await client.call_tool("execute_python", {"code": "x + 1"})
        assert again.structured_content["result"] == "42"


async def test_two_people_never_see_each_other(code_server: CodeServer, speak, user) -> None:
    async with speak(code_server, f"{user}-ada") as ada, speak(code_server, f"{user}-bob") as bob:
        await ada.call_tool("execute_python", {"code": "secret = 'hers'; open('diary.txt', 'w').write(secret)"})
        await ada.call_tool("execute_python", {"code": "open('diary.txt', 'w').write('in a session')", "session": "shared"})
        assert (await bob.call_tool("list_files", {})).structured_content["files"] == []
        assert (await bob.call_tool("list_files", {"session": "shared"})).structured_content["files"] == []
        seen = await bob.call_tool("execute_python", {"code": "'secret' in dir()"})
        assert seen.structured_content["result"] == "False"
        assert (await bob.list_resources()).resources == []
        for uri in ("workspace:///diary.txt", "workspace://shared/diary.txt"):
            with pytest.raises(MCPError):
                await bob.read_resource(uri)
        assert [file.name for file in (await ada.list_resources()).resources] == ["diary.txt"]


async def test_output_comes_as_progress_while_it_runs(code_server: CodeServer, speak, user) -> None:
    told: list[tuple[float, str]] = []
    first = anyio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message or ""))
        first.set()

    async with speak(code_server, user) as client:
        code = "import time, os\nprint('one', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('two')"
        async with anyio.create_task_group() as group:
            results: list[Any] = []

            async def call() -> None:
                results.append(await client.call_tool("execute_python", {"code": code}, progress_callback=hear))

            group.start_soon(call)
            with anyio.fail_after(30):
                await first.wait()
            assert not results
            await client.call_tool("write_file", {"path": "go", "content": ""})
    assert "".join(text for _, text in told) == "one\ntwo\n"
    assert [at for at, _ in told] == sorted({at for at, _ in told}), "progress must rise"
    assert results[0].structured_content["stdout"] == "one\ntwo\n"


async def test_messages_are_sent_to_who_asked_for_them(code_server: CodeServer, speak, user, era) -> None:
    heard: list[Any] = []
    came = anyio.Event()

    async def log(params: Any) -> None:
        heard.append((params.level, params.logger, params.data))
        came.set()

    code = "import sys; print('out'); print('err', file=sys.stderr)"
    async with speak(code_server, user, logging_callback=log) as client:
        await client.call_tool("execute_python", {"code": code})
        assert heard == []
        if era != "2025-11-25":
            return
        with pytest.warns(UserWarning, match="deprecated"):
            await client.set_logging_level("warning")
        await client.call_tool("execute_python", {"code": code})
        with anyio.fail_after(30):
            await came.wait()
    assert heard == [("warning", "stderr", "err\n")]


async def test_a_call_that_its_caller_cancels_ends_before_its_time(code_server: CodeServer, speak, user) -> None:
    begun = anyio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        begun.set()

    async with speak(code_server, user) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: client.call_tool("execute_python", {"code": LOOP}, progress_callback=hear))
            with anyio.fail_after(30):
                await begun.wait()
            group.cancel_scope.cancel()
        run = await until_cancelled(code_server, user)
        assert run["error"] is None
        result = await client.call_tool("execute_python", {"code": "print('still here')"})
        assert "still here" in result.structured_content["stdout"]


async def test_a_caller_that_hangs_up_ends_its_call(code_server: CodeServer, speak, user) -> None:
    begun = anyio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        begun.set()

    async with speak(code_server, user) as client:  # makes the sandbox, so that only the hang-up is measured
        await client.call_tool("execute_python", {"code": "1"})
    async with anyio.create_task_group() as group:

        async def talk() -> None:
            async with speak(code_server, user) as client:
                await client.call_tool("execute_python", {"code": LOOP}, progress_callback=hear)

        group.start_soon(talk)
        with anyio.fail_after(30):
            await begun.wait()
        group.cancel_scope.cancel()
    await until_cancelled(code_server, user)


async def test_files_are_resources_page_by_page(code_server: CodeServer, speak, user) -> None:
    code = (
        "import os\nos.makedirs('many')\nfor n in range(250): open(f'many/{n:03}.txt', 'w').write(str(n))\n"
        "open('a b.bin', 'wb').write(bytes([0, 255]))\nopen('.hidden', 'w').write('x')\n"
        "open('a', 'w').write('another')\nopen('a#b?c', 'w').write('odd')"
    )
    async with speak(code_server, user) as client:
        assert (await client.list_resources()).resources == []
        await client.call_tool("execute_python", {"code": code})
        first = await client.list_resources()
        second = await client.list_resources(cursor=first.next_cursor)
        assert (len(first.resources), len(second.resources), second.next_cursor) == (200, 53, None)
        files = {file.name: file for file in [*first.resources, *second.resources]}
        assert len({str(file.uri) for file in files.values()}) == 253
        for uri in (files["a#b?c"].uri, "workspace:///a#b?c"):  # as the template has it, too
            (odd,) = (await client.read_resource(uri)).contents
            assert (odd.text, odd.mime_type) == ("odd", "text/plain")
        (text,) = (await client.read_resource("workspace:///many/007.txt")).contents
        assert (text.text, text.mime_type) == ("7", "text/plain")
        (blob,) = (await client.read_resource("workspace:///a%20b.bin")).contents
        assert base64.b64decode(blob.blob) == bytes([0, 255])
        templates = (await client.list_resource_templates()).resource_templates
        assert {template.uri_template for template in templates} == {"workspace:///{+path}", "workspace://{session}/{+path}"}
        for uri in (
            "workspace:///none.txt",
            "workspace:///../../etc/passwd",
            "workspace:///",
            "file:///etc/passwd",
            "workspace://a b/x",
        ):
            with pytest.raises(MCPError):
                await client.read_resource(uri)
        with pytest.raises(MCPError, match="cursor"):
            await client.list_resources(cursor="???")


async def test_a_chart_is_shown_and_kept(code_server: CodeServer, speak, user) -> None:
    async with speak(code_server, user) as client:
        drawn = await client.call_tool("execute_python", {"code": "import matplotlib.pyplot as plt; plt.plot([1, 3, 2]); None"})
        (picture,) = [block for block in drawn.content if block.type == "image"]
        assert picture.mime_type == "image/png" and base64.b64decode(picture.data).startswith(b"\x89PNG")
        (artifact,) = drawn.structured_content["artifacts"]
        with code_server.client(user) as http:
            data = http.get(f"/v1/files/{artifact['file']}/content").content
        assert data == base64.b64decode(picture.data)
        read = await client.call_tool("read_file", {"path": artifact["name"]})
        assert [block.type for block in read.content] == ["text", "image"]


@pytest.mark.parametrize(
    ("tool", "arguments", "complaint"),
    [
        ("execute_python", {}, "execute_python: object missing required field `code`"),
        ("execute_python", {"code": 7}, "expected `str`"),
        ("execute_python", {"code": "1", "sessions": "x"}, "unknown field `sessions`"),
        ("execute_python", {"code": "1", "session": "a b"}, "session: a name of 1 to 128"),
        ("execute_python", {"code": "1", "session": 7}, "session: a name of 1 to 128"),
        ("execute_python", {"code": "a\0b"}, "NUL"),
        ("execute_python", {"code": "1", "timeout_s": -1}, "timeout_s must be"),
        ("read_file", {"path": "../../etc/passwd"}, "leads out of the workspace"),
        ("read_file", {"path": "nothing.txt"}, "nothing.txt"),
        ("launch_rocket", {}, "there is no tool 'launch_rocket'"),
        ("agent__nobody", {"message": "hi"}, "there is no tool 'agent__nobody'"),
    ],
)
async def test_what_is_wrong_with_a_call_is_said_in_a_sentence(
    code_server: CodeServer, speak, user, text_of, tool, arguments, complaint
) -> None:
    async with speak(code_server, user) as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error and complaint in text_of(result)


async def test_code_that_fails_is_an_error_with_all_that_is_known(code_server: CodeServer, speak, user, text_of) -> None:
    async with speak(code_server, user) as client:
        result = await client.call_tool("execute_python", {"code": "print('so far'); 1 / 0"})
    assert result.is_error and "ZeroDivisionError" in text_of(result)
    assert (result.structured_content["exit_code"], result.structured_content["stdout"]) == (1, "so far\n")


async def test_a_server_killed_in_mid_call_leaves_a_run_that_failed(serve_code, speak, user) -> None:
    begun = anyio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        begun.set()

    with serve_code() as server:
        async with anyio.create_task_group() as group:

            async def talk() -> None:
                async with speak(server, user) as client:
                    await client.call_tool("execute_python", {"code": LOOP}, progress_callback=hear)

            group.start_soon(talk)
            with anyio.fail_after(30):
                await begun.wait()
            server.kill()
            group.cancel_scope.cancel()
    with serve_code() as server:
        async with speak(server, user) as client:
            result = await client.call_tool("execute_python", {"code": "print('again')"})
            assert result.structured_content["stdout"] == "again\n"
        with server.client(user) as http:
            (_, before) = [run for run in http.get("/runs").json()["data"] if run["metadata"] == {"via": "mcp"}]
            assert before["status"] == "failed", before
            events = http.get(f"/runs/{before['id']}/events").text
        assert '"reason":"outcome_unknown"' in events
