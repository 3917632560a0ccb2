"""From what an operator wrote to what is started or called: variables replaced, the command found, secrets known by value."""

import importlib.util
import shutil
import site
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from agentrt.kernel import Invalid, Principal, expand, lookup, names_in

from .spec import USER, McpServerSpec

_INHERITED = ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER")
_SECRET_NAMES = ("auth", "key", "password", "secret", "token")
_SHORTEST_SECRET = 6


class StdioTarget(msgspec.Struct, frozen=True):
    """A command to start. Never shown or stored: it holds expanded secrets."""

    command: str
    args: tuple[str, ...]
    env: dict[str, str]
    cwd: str | None
    secrets: tuple[str, ...]


class HttpTarget(msgspec.Struct, frozen=True):
    """An address to call. Never shown or stored: it holds expanded secrets."""

    url: str
    headers: dict[str, str]
    secrets: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The address without user, password, query and fragment."""
        return shown_url(self.url)


Target = StdioTarget | HttpTarget


def target_of(spec: McpServerSpec, who: Principal, env: Mapping[str, str]) -> Target:
    """What `spec` means for this user in this environment; Invalid says in one sentence what is wrong with it."""
    if spec.command and spec.url:
        raise Invalid("it has both a command and a url; keep one of them")
    if spec.type == "sse":
        raise Invalid(
            "type sse is the transport of 2024, which is not spoken here; give its streamable HTTP address (often …/mcp)"
        )
    return _http(spec, who, env) if spec.transport == "http" else _stdio(spec, env)


def redactor(secrets: tuple[str, ...]) -> Callable[[str], str]:
    """A function that blots every one of `secrets` out of a text."""
    longest_first = sorted(secrets, key=len, reverse=True)

    def redact(text: str) -> str:
        for secret in longest_first:
            text = text.replace(secret, "***")
        return text

    return redact


def shown_url(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _http(spec: McpServerSpec, who: Principal, env: Mapping[str, str]) -> HttpTarget:
    if not spec.url:
        raise Invalid("it has no url")
    user = quote(who.user, safe=" !#$&'()*+,/:;=?@[]~^`{|}<>\"")
    url = expand(spec.url, env)
    if urlsplit(url).scheme not in ("http", "https"):
        raise Invalid(f"its url must begin with http:// or https://, not {shown_url(url)!r}")
    headers = {name: value for name, text in spec.headers.items() if (value := _header(text, user, env))}
    written = [value for name, value in headers.items() if not USER.search(spec.headers[name])]
    return HttpTarget(url, headers, _secrets([spec.url, *spec.headers.values()], env, [*written, *_in_url(url)]))


def _header(text: str, user: str, env: Mapping[str, str]) -> str:
    """`text` with everything replaced. What the user is called is put in last: it is not a template."""
    pieces = USER.split(text)
    for at in range(0, len(pieces), 2):
        pieces[at] = expand(pieces[at], env)
    for at in range(1, len(pieces), 2):
        pieces[at] = user or pieces[at] or ""
    return "".join(pieces).strip()


def _stdio(spec: McpServerSpec, env: Mapping[str, str]) -> StdioTarget:
    if not spec.command:
        raise Invalid("it has neither a command nor a url")
    known = {"AGENTRT_PYTHON": sys.executable, **env}
    own = {name: expand(value, known) for name, value in spec.env.items()}
    inherited = {name: env[name] for name in _INHERITED if name in env}
    cwd = Path(expand(spec.cwd, known)).expanduser() if spec.cwd else None
    if cwd is not None and not cwd.is_dir():
        raise Invalid(f"its working directory {spec.cwd!r} does not exist")
    command = _found(expand(spec.command, known), {**inherited, **own}.get("PATH"), cwd)
    if command == sys.executable and (packages := _own_packages()):
        own["PYTHONPATH"] = ":".join(filter(None, (own.get("PYTHONPATH"), packages)))
    args = tuple(expand(arg, known) for arg in spec.args)
    literal = [value for name, value in own.items() if any(word in name.lower() for word in _SECRET_NAMES)]
    secrets = _secrets([spec.command, *spec.args, *spec.env.values()], env, literal)
    return StdioTarget(command, args, {**inherited, **own}, str(cwd) if cwd else None, secrets)


def _found(command: str, path: str | None, cwd: Path | None) -> str:
    """The program that `command` names; `python` where there is none is our own interpreter."""
    if "/" in command and not Path(command).is_absolute():
        command = str((cwd or Path.cwd()) / command)
    if found := shutil.which(command, path=path):
        return found
    if command in ("python", "python3"):
        return sys.executable
    raise Invalid(f"the command {Path(command).name!r} does not exist or is not executable; is it installed and on the PATH?")


def _own_packages() -> str:
    """Where our packages lie, unless our interpreter finds them by itself (in a single-file build it does not)."""
    spec = importlib.util.find_spec("mcp")
    if spec is None or spec.origin is None:
        return ""
    folder = str(Path(spec.origin).parent.parent)
    return "" if folder in (*site.getsitepackages(), site.getusersitepackages()) else folder


def _secrets(texts: list[str], env: Mapping[str, str], literal: list[str]) -> tuple[str, ...]:
    named = {name for text in texts for name in names_in(text)} - set(_INHERITED)
    values = [value for name in named if (value := lookup(env, name))]
    return tuple({value for value in (*values, *literal) if len(value) >= _SHORTEST_SECRET})


def _in_url(url: str) -> list[str]:
    parts = urlsplit(url)
    return [secret for secret in (parts.password, parts.query) if secret]
