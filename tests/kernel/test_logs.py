"""What the log shows, and what it must not."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys
import structlog
from agentrt.kernel import configure_logs

configure_logs(sys.argv[1], sys.argv[2])
log = structlog.get_logger()
log.debug("quiet.enough")
log.info("run.recovered", run_id="run_1", odd=object)
logging.getLogger("some.library").warning("from %s", "afar")
logging.getLogger("httpx").info("GET https://host/?key=sk-secret")
logging.getLogger("google_genai.models").info("what its maker thinks of each call")
structlog.contextvars.bind_contextvars(session_id="s")
try:
    key = "sk-verysecret"
    raise LookupError("missing")
except LookupError:
    log.exception("run.crashed")
"""


def logged(level: str, format_: str) -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM, level, format_], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("format_", ["json", "auto"])
def test_programs_read_one_object_a_line(format_: str) -> None:
    lines = [json.loads(line) for line in logged("info", format_).splitlines()]
    assert [line["event"] for line in lines] == ["run.recovered", "from afar", "run.crashed"]
    assert (lines[0]["run_id"], lines[0]["level"]) == ("run_1", "info") and lines[0]["timestamp"].endswith("Z")
    assert lines[2]["session_id"] == "s" and "LookupError" in json.dumps(lines[2])


def test_local_variables_never_reach_the_log() -> None:
    assert "sk-verysecret" not in logged("debug", "json") + logged("debug", "console")


def test_the_level_is_obeyed() -> None:
    assert "quiet.enough" in logged("debug", "console")
    assert "run.recovered" not in logged("warning", "console")
