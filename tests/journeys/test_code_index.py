"""Packages are installed through an upstream that is a package index, with a credential that code never sees."""

import base64
import json
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import httpx2
import openai
import pytest

SECRET = "a-reader-of-the-index-0123"
CREDENTIAL = "Basic " + base64.b64encode(f"reader:{SECRET}".encode()).decode()
AGENT = "name: default\nmodel: offline/offline\ntools: ['*']\nsession: {from: [user]}\n"
ALLOWED = AGENT + "sandbox: {install: true, upstreams: [packages, package-files]}\n"
ONLY_THE_INDEX = AGENT + "sandbox: {install: true, upstreams: [packages]}\n"

HANGS_UP = -1
pytestmark = pytest.mark.timeout(120)


def a_wheel(name: str, version: str, code: str, needs: str = "") -> tuple[str, bytes]:
    """Its file name and its bytes."""
    info, out = f"{name}-{version}.dist-info", BytesIO()
    with zipfile.ZipFile(out, "w") as wheel:
        wheel.writestr(f"{name}.py", code)
        required = f"Requires-Dist: {needs}\n" if needs else ""
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return f"{name}-{version}-py3-none-any.whl", out.getvalue()


WHEELS = dict(
    [
        a_wheel("greeting", "1.0", "import manners\ndef greet(): return manners.polite('hello')\n", "manners>=2"),
        a_wheel("manners", "1.0", "def polite(said): return said\n"),
        a_wheel("manners", "2.0", "def polite(said): return said + ', if I may'\n"),
        a_wheel("abroad", "1.0", "here = False\n"),
        a_wheel("astray", "1.0", ""),
    ]
)


class Index(ThreadingHTTPServer):
    """PEP 503 and 691 pages at /team/+simple/ and, at /files/ of the same server, what they lead to. `elsewhere` is the origin
    of another one that has the files, too. `answers` is the status that it has for everything, 0 for the true one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.origin, self.elsewhere = f"http://127.0.0.1:{self.server_port}", ""
        self.answers = 0
        self.asked: list[tuple[str, str]] = []


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def index(self) -> Index:
        assert isinstance(self.server, Index)
        return self.server

    def do_GET(self) -> None:
        self.index.asked.append((self.path, self.headers.get("authorization", "")))
        kind, body = "text/plain", b""
        if self.index.answers == HANGS_UP:
            self.close_connection = True
            return
        if not self.index.answers:
            kind, body = self.page(self.path.split("/"))
        self.send_response(self.index.answers or (200 if body else 404))
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def page(self, path: list[str]) -> tuple[str, bytes]:
        match path[1:]:
            case ["files", name]:
                return "application/octet-stream", WHEELS.get(name, b"")
            case ["team", "+simple", name, ""]:
                wheels = [wheel for wheel in WHEELS if wheel.startswith(f"{name}-")]
                if name == "manners":  # as JSON, from the root of this server
                    files = [{"filename": wheel, "url": f"/files/{wheel}", "hashes": {}} for wheel in wheels]
                    told = {"meta": {"api-version": "1.0"}, "name": name, "files": files}
                    return "application/vnd.pypi.simple.v1+json", json.dumps(told).encode()
                others = {"abroad": self.index.elsewhere, "astray": "https://files.example.com"}
                origin = others.get(name, self.index.origin)
                links = "".join(f'<a href="{origin}/files/{wheel}">{wheel}</a>\n' for wheel in wheels)
                # what a careless server may say to whom it trusts
                return "text/html", f"<!-- {self.headers.get('authorization')} -->{links}".encode() if wheels else b""
        return "text/plain", b""

    def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002


@pytest.fixture
def index() -> Iterator[Index]:
    """An index with another server for some of its files; that one is closed already where nobody asked for it."""
    with ExitStack() as stack:
        made, files = stack.enter_context(Index()), stack.enter_context(Index())
        made.elsewhere = files.origin
        for server in (made, files):
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
        yield made


@pytest.fixture
def settings(index: Index, tmp_path: Any) -> dict[str, str]:
    """The environment of a server whose default agent may install through that index."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents/default.yaml").write_text(ALLOWED)
    upstreams = {
        "packages": {"origin": index.origin, "methods": ["GET"], "header": "authorization", "value": "${INDEX_CREDENTIAL}"},
        "package-files": {"origin": index.elsewhere, "methods": ["GET"]},
    }
    (tmp_path / "agentrt.yaml").write_text(json.dumps({"containers": {"index_path": "/team/+simple/", "upstreams": upstreams}}))
    return {"AGENTRT_CONFIG": str(tmp_path / "agents"), "INDEX_CREDENTIAL": CREDENTIAL}


def ask(server: Any, text: str) -> str:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="-", max_retries=0, timeout=60) as client:
        messages: Any = [{"role": "user", "content": text}]
        answer = client.chat.completions.create(model="default", user="ada", messages=messages)
    return answer.choices[0].message.content or ""


def use(server: Any, tool: str, **arguments: Any) -> str:
    return ask(server, f"use {tool} with {json.dumps(arguments)}")


def install(server: Any, *packages: str) -> str:
    return use(server, "install_package", packages=packages)


def last_run(server: Any) -> str:
    """All events of the newest run."""
    newest = httpx2.get(f"{server.url}/runs", params={"limit": 1}).json()["data"][0]["id"]
    return httpx2.get(f"{server.url}/runs/{newest}/events").text


GREET = "import greeting; print(greeting.greet())"


def test_a_package_and_what_it_needs_are_installed_and_imported(serve_code: Any, settings: Any, index: Index) -> None:
    with serve_code(**settings) as server:
        assert "ModuleNotFoundError" in use(server, "execute_python", code=GREET)
        said = install(server, "greeting")
        assert "Successfully installed greeting-1.0 manners-2.0" in said, said
        told = last_run(server)
        assert told.count('greeting\\"') and "Successfully installed greeting-1.0 manners-2.0" in told
        assert told.count("event: egress_requested") == 4 and "manners-2.0-py3-none-any.whl" in told
        assert {credential for _, credential in index.asked} == {CREDENTIAL}
        assert use(server, "execute_bash", command="ls -A; ls /tmp").endswith(" .packages")
        for tool, how in (("execute_python", {}), ("execute_python", {"stateful": False})):
            assert "hello, if I may" in use(server, tool, code=GREET, **how)
        assert "hello, if I may" in use(server, "execute_bash", command=f"python3 -c '{GREET}'")
        assert "Successfully installed abroad-1.0" in install(server, "abroad"), "its file is at another upstream"
        seen = use(server, "execute_bash", command="env; cat /proc/*/environ; grep -r . /workspace/.packages /tmp /run/agentrt; "
            "curl -s $PACKAGES_BASE_URL/team/+simple/greeting/ || python3 -c 'import os, urllib.request as r; "
            "print(r.urlopen(os.environ[\"PACKAGES_BASE_URL\"] + \"/team/+simple/greeting/\").read())'")  # fmt: skip
        assert "<!-- *" in seen or "<!-- Basic *" in seen, seen
        everything = seen + told + last_run(server) + server.log
        assert not any(word in everything for word in (SECRET, CREDENTIAL, CREDENTIAL.removeprefix("Basic ")))


SMUGGLED = (
    "-i http://127.0.0.1:1/",
    "-r/etc/passwd",
    "greeting -i http://127.0.0.1:1/",
    "greeting @ http://127.0.0.1:1/greeting.whl",
    "http://127.0.0.1:1/greeting.whl",
    "git+https://127.0.0.1/x",
    "greeting\n-i http://127.0.0.1:1/",
    "greeting\x00",
    "./greeting",
    "greeting-1.0-py3-none-any.whl",
    "",
)


def test_what_cannot_be_installed_says_why(serve_code: Any, settings: Any, index: Index) -> None:
    with serve_code(**settings) as server:
        for bad in SMUGGLED:
            said = install(server, bad)
            assert "names no package" in said, said
        assert "name between 1 and 20 packages" in install(server) and "name between 1" in install(server, *["greeting"] * 21)
        assert "No matching distribution found for nobody-has-this" in install(server, "nobody-has-this")
        assert "from versions: 1.0, 2.0" in install(server, "manners==3")
        assert "conflicting dependencies" in install(server, "greeting", "manners<2")
        for status, why in ((403, "403 Forbidden"), (500, "500 Internal Server Error"), (429, "429 Too Many Requests")):
            index.answers = status
            said = install(server, "greeting")
            assert "the package index did not answer for greeting" in said and why in said, said
        # nothing in the workspace has a say: neither modules nor settings that lie there
        index.answers = 0
        config = "mkdir -p .config/pip; echo '[global]\nno-index = true' >.config/pip/pip.conf; "
        use(server, "execute_bash", command=config + "echo 'raise SystemExit' | tee pip.py json.py .packages/re.py >/dev/null")
        assert "Successfully installed manners-2.0" in install(server, "manners")
        index.answers = HANGS_UP
        assert "the package index did not answer for greeting: 502 Bad Gateway" in install(server, "greeting")
        index.shutdown()
        index.server_close()
        assert "the package index did not answer for greeting: 502 Bad Gateway" in install(server, "greeting")


def test_files_where_nothing_leads_are_named(serve_code: Any, settings: Any, index: Index, tmp_path: Any) -> None:
    (tmp_path / "agents/default.yaml").write_text(ONLY_THE_INDEX)
    with serve_code(**settings) as server:
        assert "there is no upstream 'package-files' for this agent" in use(server, "execute_python", code=ELSEWHERE)
        said = install(server, "abroad")
        assert "404" in said and "package-files" in said
        assert "files of this index are at files.example.com, where nothing leads from here" in install(server, "astray")
        (tmp_path / "agents/default.yaml").write_text(AGENT + "sandbox: {install: false, upstreams: [packages]}\n")
        until(server, "No tool called install_package")


ELSEWHERE = """
import os, urllib.error, urllib.request
try:
    urllib.request.urlopen(os.environ["AGENTRT_PROXY"] + "/package-files/files/abroad-1.0-py3-none-any.whl")
except urllib.error.HTTPError as refused:
    print(refused.read().decode())
"""


def until(server: Any, said: str) -> None:
    """Changed agents are read a moment later."""
    deadline = time.monotonic() + 30
    while said not in (found := install(server, "greeting")):
        assert time.monotonic() < deadline, found
