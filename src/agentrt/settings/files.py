"""The settings that stand in files: `.env` and `agentrt.yaml`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentrt.kernel import Invalid, expand

from .errors import SettingsInvalid
from .layers import Leaf
from .options import Options
from .paths import exists
from .schema import Place, child, from_data, is_branch

if TYPE_CHECKING:
    import yaml


def read_dotenv(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a `.env` file, `${NAME}` in them filled in from lines above or from `environ`; {} without a file."""
    if not exists(path) or not path.is_file():
        return {}
    from dotenv import dotenv_values  # most processes have no .env: not worth 20 ms of every start

    try:
        raw = dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsInvalid(f"{path.name} cannot be read: {_why(exc)}") from exc
    found: dict[str, str] = {}
    for name, value in raw.items():
        try:
            found[name] = expand(value or "", {**found, **environ})
        except Invalid as exc:
            raise SettingsInvalid(f"{path.name}: {name}: {exc}", param=name) from exc
    return found


def read_settings_file(path: Path) -> list[Leaf]:
    """What a settings file says, each value with its line and column; SettingsInvalid names the place of a mistake."""
    import yaml  # as above: most processes have no settings file

    loader_type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        loader = loader_type(path.read_text(encoding="utf-8"))
        try:
            root = loader.get_single_node()
            return list(_walk(root, Options, (), loader, path.name)) if root is not None else []
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        raise SettingsInvalid(f"{path.name}:{mark.line + 1}:{mark.column + 1}: {exc.problem}" if mark else str(exc)) from exc
    except yaml.YAMLError as exc:
        raise SettingsInvalid(f"{path.name}: {' '.join(str(exc).split())}") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsInvalid(f"{path.name} cannot be read: {_why(exc)}") from exc


def _walk(node: "yaml.Node", of: Any, place: Place, loader: Any, file: str) -> Iterator[Leaf]:
    """The leaves below `node`, whose type is the branch `of`."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        raise SettingsInvalid(f"{_mark(node, file)}: expected a mapping of settings", param=".".join(place))
    seen: set[str] = set()
    for key, value in node.value:
        name = str(key.value)
        here = (*place, name)
        try:
            type_ = child(of, name)
        except KeyError as exc:
            raise SettingsInvalid(f"{_mark(key, file)}: unknown setting {'.'.join(here)!r}{exc.args[0]}") from exc
        if name in seen:
            raise SettingsInvalid(f"{_mark(key, file)}: {'.'.join(here)!r} is written twice")
        seen.add(name)
        if is_branch(type_):
            yield from _walk(value, type_, here, loader, file)
        else:
            yield _leaf(value, type_, here, loader, file)


def _leaf(node: "yaml.Node", of: Any, place: Place, loader: Any, file: str) -> Leaf:
    try:
        return Leaf(place, from_data(loader.construct_object(node, deep=True), of), _mark(node, file))
    except ValueError as exc:
        raise SettingsInvalid(f"{_mark(node, file)}: {'.'.join(place)}: {exc}", param=".".join(place)) from exc


def _mark(node: "yaml.Node", file: str) -> str:
    return f"{file}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _why(exc: OSError | UnicodeDecodeError) -> str:
    return exc.strerror or "it is not a file" if isinstance(exc, OSError) else "it is not UTF-8"
