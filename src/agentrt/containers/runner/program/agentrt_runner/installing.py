"""`installing.py ASIDE OPTION…` is pip, at work in a new folder that begins with ASIDE. It says besides what pip keeps to its
log: what an index answered instead of a page."""

import http
import os
import re
import subprocess
import sys
import tempfile

UNANSWERED = re.compile(r"Could not fetch URL \S*/([^/\s]+)/: (.*)")
STATUS = re.compile(r"\b([45]\d\d) (?:\w+ Error|error responses)")
ELSEWHERE = re.compile(r"HTTPS?ConnectionPool\(host='([^']+)'")


def main(aside, options):
    folder, prefix = os.path.split(aside)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=folder) as place:
        log = os.path.join(place, "log")
        pip = [sys.executable, "-I", "-m", "pip", "install", "--log", log, *options]
        exit_code = subprocess.run(pip, env={**os.environ, "TMPDIR": place}).returncode
        if exit_code and os.path.exists(log):
            with open(log, encoding="utf-8", errors="replace") as said:
                print(*explained(said.read()), sep="", end="", file=sys.stderr)
    sys.exit(exit_code)


def explained(log):
    """A line for each thing that stood in the way."""
    said = {}
    for name, trouble in UNANSWERED.findall(log):
        found = STATUS.search(trouble)
        if found is None or found[1] != "404":  # that one pip tells
            said[f"ERROR: the package index did not answer for {name}: {phrase(found[1]) if found else trouble[:200]}\n"] = None
    for host in ELSEWHERE.findall(log):
        if host != "127.0.0.1":
            said[
                f"ERROR: files of this index are at {host}, where nothing leads from here; the operator can add an upstream\n"
            ] = None
    return said


def phrase(status):
    known = {int(found): found.phrase for found in http.HTTPStatus}
    return f"{status} {known.get(int(status), '')}".rstrip()


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2:])
    except OSError as error:
        sys.exit(f"ERROR: nothing was installed: {error.strerror}")
