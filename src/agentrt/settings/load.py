"""Reading the settings: flags beat the environment, which beats `.env`, which beats `agentrt.yaml`, which beats defaults."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from agentrt.kernel import share

from .address import Address
from .database_url import DATABASE_FILE, embedded
from .errors import SettingsInvalid
from .files import read_dotenv, read_settings_file
from .layers import Layer, Leaf, build, environment_leaves, lookup_in, type_at
from .options import Options, Settings
from .paths import exists, expanded
from .schema import Place, from_text

SETTINGS_FILE = "agentrt.yaml"
SECRETS = ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_API_KEY")


def load_settings(flags: Mapping[str, Any], environ: Mapping[str, str], cwd: Path) -> Settings:
    """The settings in force. SettingsInvalid says what is wrong and where it was written.

    `flags` are settings by name (nested by `__`), text as typed on the command line or true for a switch, and `settings`,
    the settings file. Nothing but the arguments and the files they name is read.
    """
    dotenv = _without(read_dotenv(cwd / ".env", environ), environ)
    env = {**dotenv, **environ}
    file = _settings_file(flags.get("settings") or env.get("AGENTRT_CONFIG_FILE"), cwd)
    layers = [
        build(read_settings_file(file), file.parent) if file else Layer({}),
        build(environment_leaves(dotenv, ".env:"), cwd),
        build(environment_leaves(environ, "environment variable"), cwd),
        build(_flag_leaves(flags), cwd),
    ]
    for name in SECRETS:
        lookup_in(env, name, "environment variable")
    sources = tuple(path for path in (cwd / ".env", file) if path and path.is_file())
    return _settle(layers, env, sources, cwd)


def _without(dotenv: dict[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """`.env` without what the process's environment says itself, be it in a file (`NAME_FILE`)."""
    said = set(environ) | {name.removesuffix("_FILE") for name in environ if name.endswith("_FILE")}
    said |= {f"{name}_FILE" for name in environ}
    return {name: value for name, value in dotenv.items() if name not in said}


def _settings_file(named: str | None, cwd: Path) -> Path | None:
    if not named:
        usual = cwd / SETTINGS_FILE
        return usual if exists(usual) and usual.is_file() else None
    try:
        file = (cwd / expanded(Path(named))).resolve()
    except ValueError as exc:
        raise SettingsInvalid(f"the settings file {exc}", param="settings") from exc
    if not exists(file) or not file.is_file():
        raise SettingsInvalid(f"the settings file {file} does not exist", param="settings")
    return file


def _flag_leaves(flags: Mapping[str, Any]) -> list[Leaf]:
    leaves = []
    for name, value in flags.items():
        if value is None or name == "settings":
            continue
        place, source = tuple(name.split("__")), f"--{name.replace('__', '-').replace('_', '-')}"
        try:
            leaves.append(Leaf(place, from_text(value, type_at(place)) if isinstance(value, str) else value, source))
        except ValueError as exc:
            raise SettingsInvalid(f"{source}: {exc}", param=name) from exc
    return leaves


def _settle(layers: list[Layer], env: dict[str, str], sources: tuple[Path, ...], cwd: Path) -> Settings:
    """One Settings from the layers, lowest first, with every default worked out."""
    values: dict[Place, Any] = {}
    said_by: dict[Place, str] = {}
    for layer in layers:
        values |= layer.values
        said_by |= layer.sources
    default = Address.parse(Options().addr)
    host, port = values.pop(("host",), default.host), values.pop(("port",), default.port)
    data_dir = values.pop(("data_dir",), None) or _usual_data_dir(cwd)
    # only the address in force may speak: a lower layer's is not used
    notices = next((layer.notices for layer in reversed(layers) if layer.values.get(("database_url",))), ())
    settled = {
        **_nested(values),
        "addr": str(Address(host, port)),
        "data_dir": data_dir,
        "database_url": values.get(("database_url",)) or embedded(data_dir),
        "config": _existing(("config",), "configs/agents", values, said_by, cwd),
        "mcp_config": _existing(("mcp_config",), "configs/mcp/servers.yaml", values, said_by, cwd),
        "skills": _existing(("skills",), "configs/skills", values, said_by, cwd),
        "env": env,
        "sources": sources,
        "notices": notices,
    }
    if values.get(("offline_rules",)):
        _existing(("offline_rules",), "", values, said_by, cwd)
    return msgspec.convert(settled, Settings, dec_hook=lambda _type, value: value)


def _existing(place: Place, usual: str, values: dict[Place, Any], said_by: dict[Place, str], cwd: Path) -> Path:
    """The path that was named, which must exist; else the usual place; else what comes with agentrt."""
    named: Path | None = values.get(place)
    if named is None:
        return cwd / usual if exists(cwd / usual) else share() / usual
    if not exists(named):
        raise SettingsInvalid(f"{said_by[place]}: {named} does not exist", param=place[0])
    return named


def _nested(values: dict[Place, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for place, value in values.items():
        branch = tree
        for name in place[:-1]:
            branch = branch.setdefault(name, {})
        branch[place[-1]] = value
    return tree


def _usual_data_dir(cwd: Path) -> Path:
    """`data` where `make run` has kept its data there, so that the commands mean the same; else this user's data folder."""
    if os.path.isfile(cwd / "data" / DATABASE_FILE):
        return cwd / "data"
    from platformdirs import user_data_path  # only where no folder was named

    return user_data_path("agentrt", appauthor=False)
