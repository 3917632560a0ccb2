"""One source's settings: what it says, each value with the place where it was written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agentrt.kernel import Invalid, lookup

from .address import EVERY_ADDRESS, Address, parse_port
from .database_url import normalise
from .errors import SettingsInvalid, did_you_mean
from .options import Options
from .paths import expanded
from .schema import Place, child, fields_of, from_text, is_branch

PREFIX = "AGENTRT_"
# names of our own that are not settings: where the settings file is, and which server the commands speak to
RESERVED = ("AGENTRT_CONFIG_FILE", "AGENTRT_URL")
INHERITED: dict[str, Place] = {
    "AGENT_API_HOST": ("host",),
    "AGENT_API_PORT": ("port",),
    "AGENT_NAME": ("default_agent",),
    "DATABASE_URL": ("database_url",),
    "DEFAULT_MODEL": ("default_model",),
    "DOCKER_HOST": ("containers", "docker_url"),
    "MCP_SERVER_URL": ("mcp_server_url",),
    "SESSION_TIMEOUT_SECONDS": ("session_timeout_s",),
}


class Leaf(msgspec.Struct, frozen=True):
    """One value and where it was written, such as `environment variable AGENTRT_ADDR` or `agentrt.yaml:3:5`."""

    place: Place
    value: Any
    source: str


class Layer(msgspec.Struct, frozen=True):
    """Everything one source says, and where each value was written. `addr` has become `host` and `port`, so that sources can
    set one of them each."""

    values: dict[Place, Any]
    sources: dict[Place, str] = {}
    notices: tuple[str, ...] = ()


def build(leaves: Sequence[Leaf], base: Path) -> Layer:
    """A layer from typed leaves; paths are counted from `base`. SettingsInvalid names the source of a bad value."""
    values: dict[Place, Any] = {}
    notices: tuple[str, ...] = ()
    for leaf in leaves:
        try:
            match leaf.place:
                case ("addr",):
                    address = Address.parse(leaf.value)
                    values |= {("host",): address.host} | ({("port",): address.port} if address.port is not None else {})
                case ("database_url",) if leaf.value is not None:
                    values[leaf.place], notices = normalise(leaf.value, base)
                case ("mcp_server_url",) if leaf.value is not None and not leaf.value.startswith(("http://", "https://")):
                    raise ValueError(f"expected an address that begins with http:// or https://, got {leaf.value!r}")
                case ("allowed_origins",) if bad := [each for each in leaf.value or () if each != "*" and "://" not in each]:
                    raise ValueError(f"expected origins such as http://localhost:3000, got {bad[0]!r}")
                case _:
                    values[leaf.place] = _absolute(leaf.value, base)
        except ValueError as exc:
            raise SettingsInvalid(f"{leaf.source}: {exc}", param=".".join(leaf.place)) from exc
    return Layer(values, {leaf.place: leaf.source for leaf in leaves}, notices)


def _absolute(value: Any, base: Path) -> Any:
    return (base / expanded(value)).resolve() if isinstance(value, Path) else value


def environment_leaves(env: Mapping[str, str], label: str) -> list[Leaf]:
    """What an environment says, `label` naming it (`environment variable`); our own names beat the inherited ones."""
    inherited = [_inherited(name, place, env, label) for name, place in INHERITED.items() if lookup_in(env, name, label)]
    return inherited + [_own(name, env, label) for name in sorted(env) if name.startswith(PREFIX) and _is_setting(name, env)]


def _is_setting(name: str, env: Mapping[str, str]) -> bool:
    return name not in RESERVED and bool(env[name])


def _inherited(name: str, place: Place, env: Mapping[str, str], label: str) -> Leaf:
    text, source = lookup_in(env, name, label) or "", f"{label} {name}"
    try:
        if place == ("port",):
            return Leaf(place, parse_port(text), source)
        if place == ("host",):
            return Leaf(place, EVERY_ADDRESS if text == "*" else text, source)
        return Leaf(place, from_text(text, type_at(place)), source)
    except ValueError as exc:
        raise SettingsInvalid(f"{source}: {exc}", param=name) from exc


def _own(name: str, env: Mapping[str, str], label: str) -> Leaf:
    place, text = tuple(name.removeprefix(PREFIX).lower().split("__")), env[name]
    if place == ("database_url_file",):
        place, text = ("database_url",), lookup_in(env, name.removesuffix("_FILE"), label) or ""
    source, of = f"{label} {name}", type_at(place)
    if of is None:
        raise SettingsInvalid(f"{source} is not a setting of agentrt{_nearest(name)}", param=name)
    if is_branch(of):
        example = f"{name}__NAME" if not hasattr(of, "__struct_fields__") else f"{name}__{of.__struct_fields__[0].upper()}"
        raise SettingsInvalid(f"{source} is a group of settings: set its parts, such as {example}", param=name)
    try:
        return Leaf(place, from_text(text, of), source)
    except ValueError as exc:
        raise SettingsInvalid(f"{source}: {exc}", param=name) from exc


def _nearest(name: str) -> str:
    known = [name.removeprefix(PREFIX) for name in RESERVED]
    for field, of in fields_of(Options).items():
        parts = getattr(of, "__struct_fields__", ())
        known += [f"{field}__{part}".upper() for part in parts] or [field.upper()]
    # compared without the prefix: it makes everything look alike
    return did_you_mean(name.removeprefix(PREFIX), known).replace("'", f"'{PREFIX}", 1)


def type_at(place: Place) -> Any:
    """The type of the setting at `place`; None where there is none."""
    of: Any = Options
    for name in place:
        try:
            of = child(of, name)
        except KeyError:
            return None
    return of


def lookup_in(env: Mapping[str, str], name: str, label: str) -> str | None:
    """The value of `name`, also from the file that `NAME_FILE` names; SettingsInvalid where that cannot be read."""
    try:
        return lookup(env, name)
    except Invalid as exc:
        raise SettingsInvalid(f"{label} {exc}", param=name) from exc
