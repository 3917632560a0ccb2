"""What `make run` does behind the server so that code can run.

The package manager is a stand-in. The machine has no engine: programs are looked for in a folder of the test, and the network,
in which a Docker engine would listen, is one of the test's own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ("awk", "cat", "find", "grep", "id", "mktemp", "nice", "rm", "sleep", "tr")
LISTENS = "import socket, time; listener = socket.create_server(('', 0)); time.sleep(60)"
NOTES = """echo "$*, listening: $(awk '$4 == "0A"' /proc/net/tcp | grep -c .)" >>"$0.said" """

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root on Linux")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The folder of its programs; `apt-get` notes what it is asked, and how many listened by then."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).symlink_to(shutil.which(name))
    apt_get(folder, NOTES)
    return folder


def apt_get(folder: Path, script: str) -> None:
    (folder / "apt-get").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "apt-get").chmod(0o755)


def beside_a_server(machine: Path, **env: str) -> list[str]:
    """The lines that the script says while a server starts."""
    script = f'"$0" -c "$1" & PATH={machine} HOME=/nonexistent /bin/sh {ROOT}/scripts/sandbox.sh $!; kill $!'
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, sys.executable, LISTENS],
        env={"PATH": os.environ["PATH"], **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
    )
    return done.stderr.splitlines()


def test_bubblewrap_is_installed_once_the_server_listens_and_that_is_said(machine: Path) -> None:
    assert beside_a_server(machine) == [
        "agentrt: installing bubblewrap behind the server, to run code in (SANDBOX=none leaves that out)",
        "agentrt: bubblewrap is installed; the server builds the image that code runs on, and /health says how far it is",
    ]
    said = (machine / "apt-get.said").read_text()
    assert said == "install -y --no-install-recommends bubblewrap, listening: 1\n"


def test_lists_of_packages_that_are_old_or_absent_are_fetched(machine: Path) -> None:
    apt_get(machine, f'{NOTES}\n[ "$1" = update ] || grep -q update "$0.said"')
    assert beside_a_server(machine)[-1].startswith("agentrt: bubblewrap is installed")
    asked = [line.split()[0] for line in (machine / "apt-get.said").read_text().splitlines()]
    assert asked == ["install", "update,", "install"]


def test_a_failure_is_said_with_where_to_read_about_it_and_what_still_works(machine: Path) -> None:
    apt_get(machine, "echo 'E: no such package'; exit 100")
    said = beside_a_server(machine)[-1]
    assert said.startswith("agentrt: bubblewrap could not be installed (all of it: ")
    assert said.endswith("); everything but running code works")
    log = Path(said.partition("all of it: ")[2].partition(")")[0])
    assert "E: no such package" in log.read_text()
    log.unlink()


@pytest.mark.parametrize("why", ["SANDBOX=none", "DOCKER_HOST=tcp://127.0.0.1:2375", "bwrap"])
def test_nothing_is_done_where_nothing_is_wanted_or_needed(machine: Path, why: str) -> None:
    if why == "bwrap":
        (machine / "bwrap").symlink_to("/bin/true")
    name, _, value = why.partition("=")
    assert beside_a_server(machine, **{name: value}) == []
    assert not (machine / "apt-get.said").exists()


def test_where_there_is_no_apt_the_command_is_said(machine: Path) -> None:
    (machine / "apt-get").unlink()
    [said] = beside_a_server(machine)
    assert said.startswith("agentrt: code does not run here yet: install Docker, or bubblewrap")


def test_an_ordinary_user_is_told_of_docker_and_nothing_is_tried(machine: Path) -> None:
    (machine / "id").unlink()
    (machine / "id").write_text("#!/bin/sh\n[ $1 = -u ] && echo 1000 || echo ada\n")
    (machine / "id").chmod(0o755)
    [said] = beside_a_server(machine)
    assert said.startswith("agentrt: code does not run here yet: as root, install Docker and let ada use it")
    assert not (machine / "apt-get.said").exists()


def test_a_server_that_did_not_start_is_not_waited_for(machine: Path) -> None:
    command = [shutil.which("unshare"), "--net", "/bin/sh", ROOT / "scripts/sandbox.sh", "999999999"]
    done = subprocess.run(command, env={"PATH": str(machine), "HOME": "/x"}, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
