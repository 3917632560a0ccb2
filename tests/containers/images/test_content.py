"""What is in an image, seen from inside."""

import json
from collections.abc import Callable

Inside = Callable[[str, str], str]

IMPORTS = """
import json, sys, time
from importlib.metadata import distributions
import matplotlib, numpy, openpyxl, pandas, requests, sympy
import bz2, ctypes, curses, lzma, multiprocessing, readline, sqlite3, ssl, zoneinfo
import matplotlib.pyplot as plt
plt.plot([1, 2]), plt.savefig("/tmp/chart.png")
print(json.dumps({
    "python": sys.version_info[:2],
    "packages": {found.name: found.version for found in distributions()},
    "backend": matplotlib.get_backend(),
    "fonts": matplotlib.get_cachedir(),
    "sum": int(pandas.DataFrame({"a": numpy.arange(5)}).a.sum()),
    "identity": str(sympy.simplify("sin(x)**2 + cos(x)**2")),
    "zone": str(zoneinfo.ZoneInfo("Europe/Berlin")),
    "trusted": len(ssl.create_default_context().get_ca_certs()) > 50,
    "table": openpyxl.Workbook().active.title,
}))
"""

FILES = """
import glob, json, os, stat, subprocess
def say(*command): return subprocess.run(command, capture_output=True, text=True).stdout.strip()
raised, writable = [], []
for folder, _, files in os.walk("/"):
    if folder.startswith(("/proc", "/sys", "/dev", "/tmp")): continue
    for name in files:
        path = os.path.join(folder, name)
        about = os.lstat(path)
        if stat.S_ISREG(about.st_mode):
            raised += [path] * bool(about.st_mode & 0o6000)
            writable += [path] * bool(about.st_mode & 0o002)
print(json.dumps({
    "raised": raised,
    "writable": writable,
    "python": os.path.realpath(say("sh", "-c", "command -v python")) == os.path.realpath(say("sh", "-c", "command -v python3")),
    "user": [line for line in open("/etc/passwd").read().splitlines() if line.startswith("coderunner:")],
    "places": [path for path in ("/workspace", "/skills", "/tools", "/opt/agentrt", "/run/agentrt") if os.path.isdir(path)],
    "sources": glob.glob("/etc/apt/sources.list*") + glob.glob("/etc/pip.conf") + glob.glob("/etc/apt/apt.conf.d/*proxy*"),
    "programs": say("bash", "-c", "echo $(seq 3 | awk '{ n += $1 } END { print n }') $(printf x | sed s/x/y/ | grep -c y)"),
    "compiled": all(glob.glob(f"/opt/sandbox/site/{name}/__pycache__/__init__.*.pyc") for name in ("numpy", "pandas", "sympy")),
    "tests": glob.glob("/opt/sandbox/site/numpy/**/tests", recursive=True),
}))
"""


def test_the_default_packages_work_and_matplotlib_draws_into_files(engine_name: str, inside: Inside) -> None:
    found = json.loads(inside(engine_name, IMPORTS))
    assert found["python"] >= [3, 11]
    assert found["backend"].lower() == "agg"
    assert found["fonts"].startswith("/tmp/")
    assert (found["sum"], found["identity"], found["zone"], found["table"]) == (10, "1", "Europe/Berlin", "Sheet")
    assert found["trusted"]


def test_both_engines_have_the_same_packages(inside: Inside) -> None:
    docker, bubblewrap = (json.loads(inside(engine, IMPORTS)) for engine in ("docker", "bubblewrap"))
    assert docker == bubblewrap


def test_files_inside_give_no_rights_and_tell_nothing_of_the_machine(engine_name: str, inside: Inside) -> None:
    assert json.loads(inside(engine_name, FILES)) == {
        "raised": [],
        "writable": [],
        "python": True,
        "user": ["coderunner:x:10001:10001::/workspace:/bin/bash"],
        "places": ["/workspace", "/skills", "/tools", "/opt/agentrt", "/run/agentrt"],
        "sources": [],
        "programs": "6 1",
        "compiled": True,
        "tests": [],
    }
