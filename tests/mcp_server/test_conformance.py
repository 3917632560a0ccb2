"""`/mcp` as the suite of MCP's own project finds it, in both eras of the protocol.

The whole suite runs; of what is not named here, most wants tools, prompts and resources that a server has for its sake.
"""

from pathlib import Path

import anyio.to_thread
import pytest

from fixtures.code_server import CodeServer
from fixtures.conformance import Conformance, passed

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

# how many checks of a scenario there are to pass, of those that any server must
PASSED = {
    "2025-11-25": {
        "server-initialize": 3,
        "server-session-lifecycle": 3,
        "ping": 2,
        "logging-set-level": 2,
        "completion-complete": 2,
        "tools-list": 3,
        "tools-call-error": 2,
        "server-sse-multiple-streams": 2,
        "resources-list": 2,
        "prompts-list": 2,
        "dns-rebinding-protection": 2,
    },
    "2026-07-28": {
        "server-stateless": 26,
        "completion-complete": 2,
        "tools-list": 4,
        "tools-call-error": 2,
        "server-sse-multiple-streams": 1,
        "resources-list": 2,
        "sep-2164-resource-not-found": 4,
        "prompts-list": 2,
        "dns-rebinding-protection": 2,
        "caching": 8,
        "http-header-validation": 14,
    },
}
# in how many scenarios, of all, every message is held against the schema
VALIDATED = {"2025-11-25": 29, "2026-07-28": 37}
# checks that want a server with certain tools made for them
FOR_A_TEST_SERVER = {
    "sep-2575-server-rejects-undeclared-capability",
    "sep-2575-missing-capability-http-400",
    "sep-2575-server-sends-prompts-list-changed-on-subscription",
    "sep-2575-server-sends-tools-list-changed-on-subscription",
}


async def test_what_any_server_must_do_is_done(code_server: CodeServer, speak, era: str, npm, tmp_path: Path) -> None:
    async with speak(code_server) as client:
        await client.call_tool("write_file", {"path": "a.txt", "content": "There is a resource to read."})
    suite = Conformance(npm, tmp_path)
    found = await anyio.to_thread.run_sync(suite.of_server, f"{code_server.url}/mcp", era)
    counted = {scenario: passed(found.get(scenario, [])) for scenario in PASSED[era]}
    assert {name: count for name, count in counted.items() if count < PASSED[era][name]} == {}
    not_passed = [(scenario, check) for scenario in PASSED[era] for check in found[scenario] if check.is_open]
    assert [name for name, check in not_passed if check.id not in FOR_A_TEST_SERVER] == [], not_passed
    messages = [check for checks in found.values() for check in checks if check.id == "wire-schema-valid"]
    assert len(messages) >= VALIDATED[era] and not any(check.is_open for check in messages)
