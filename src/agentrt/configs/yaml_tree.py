"""YAML text as a tree in which every value knows its place. Pure.

JSON is read too, being YAML. Scalars follow YAML 1.2: only `true` and `false` are booleans, so `on`, `yes`, `no`, dates and
`12:30` stay the text they look like.
"""

import re
from typing import Any

import msgspec
import yaml

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML built without libyaml: the same, slower
    from yaml import SafeLoader

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_NODES = 100_000

_TAG = "tag:yaml.org,2002:"
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
_SURROGATES = re.compile(r"\\\\|\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_RESOLVERS = {
    "null": (r"~|null|Null|NULL|\Z", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    "merge": (r"<<", ["<"]),
}


class _Loader(SafeLoader):  # pyright: ignore[reportGeneralTypeIssues]
    yaml_implicit_resolvers: dict[str, list[Any]] = {}


for _name, (_regex, _first) in _RESOLVERS.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_regex})\\Z"), _first)


class Mark(msgspec.Struct, frozen=True):
    """A place in a text, counted from 1."""

    line: int
    column: int


class Node(msgspec.Struct):
    """One value. `value` is a scalar, a list of nodes, or a list of (key, place of the key, node)."""

    value: Any
    mark: Mark
    path: str
    is_map: bool = False
    is_list: bool = False
    is_block: bool = False

    def plain(self) -> Any:
        """The value as dicts, lists and scalars."""
        if self.is_map:
            return {key: node.plain() for key, _, node in self.value}
        return [node.plain() for node in self.value] if self.is_list else self.value

    def child(self, key: str | int) -> "Node | None":
        """The value under a key or at an index; None where there is none."""
        if self.is_map:
            return next((node for name, _, node in self.value if name == key), None)
        if self.is_list and isinstance(key, int) and key < len(self.value):
            return self.value[key]
        return None

    def key_mark(self, key: str) -> Mark:
        """Where a key stands; the mapping's own place where it has no such key."""
        return next((mark for name, mark, _ in self.value if name == key), self.mark) if self.is_map else self.mark


class Broken(Exception):
    """The text is not one readable YAML document; `mark` says where, `path` where in the data when that is known."""

    def __init__(self, message: str, mark: Mark, path: str = "") -> None:
        super().__init__(message)
        self.message, self.mark, self.path = message, mark, path


def read(data: bytes | str) -> Node:
    """The document in `data` (bytes are UTF-8, with or without a byte order mark). Broken where there is none, or two."""
    text = _join_surrogates(_decode(data) if isinstance(data, bytes) else data)
    if len(text) > MAX_BYTES:
        raise Broken(f"the file is larger than {MAX_BYTES:,} bytes", Mark(1, 1))
    try:
        _refuse_depth(text)
        root = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as exc:
        raise _syntax_error(exc) from None
    except yaml.reader.ReaderError as exc:
        # libyaml counts bytes, the Python parser characters: both agree up to the first non-ASCII character
        before = text.encode()[: exc.position].decode(errors="ignore")
        raise Broken(f"the character {exc.character:#06x} is not allowed in YAML", _mark_after(before)) from None
    return Node(None, Mark(1, 1), "$") if root is None else _Builder().build(root, "$")


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise Broken(f"the file is larger than {MAX_BYTES:,} bytes", Mark(1, 1))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        mark = _mark_after(data[: exc.start].decode(errors="replace"))
        raise Broken(f"the file is not UTF-8: byte {data[exc.start]:#04x} cannot be read", mark) from None


def _join_surrogates(text: str) -> str:
    """JSON writes characters beyond 16 bits as two escapes, which YAML does not know: put the character itself there."""
    if not text.lstrip().startswith("{"):
        return text

    def join(match: re.Match[str]) -> str:
        if not match[1]:
            return match[0]
        return chr(0x10000 + ((int(match[1], 16) & 0x3FF) << 10 | int(match[2], 16) & 0x3FF))

    return _SURROGATES.sub(join, text)


def _mark_after(text: str) -> Mark:
    return Mark(text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _refuse_depth(text: str) -> None:
    """Too deep a nesting overruns the C stack of the composer, which is a crash and no exception: refused before."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise Broken(f"the nesting is deeper than {MAX_DEPTH} levels", _mark(event.start_mark))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _syntax_error(exc: yaml.MarkedYAMLError) -> Broken:
    mark = exc.problem_mark or exc.context_mark
    problem = exc.problem or "not YAML"
    if mark is None:
        return Broken(problem, Mark(1, 1))
    if "but found another document" in problem:
        return Broken("a file holds one document: put what follows `---` into a file of its own", _mark(mark))
    if "tab character" in problem:
        return Broken("a tab cannot indent YAML: use spaces", _mark(mark))
    if "cannot start any token" in problem:
        return Broken("this character cannot stand here: put the value in quotes, and indent with spaces, not tabs", _mark(mark))
    if "mapping values are not allowed" in problem:
        return Broken("a second `:` cannot stand here: put the text in quotes, or correct the indentation", _mark(mark))
    if exc.context and exc.context_mark and exc.context_mark.line != mark.line:
        return Broken(f"{problem} ({exc.context} that began at line {exc.context_mark.line + 1})", _mark(mark))
    return Broken(problem, _mark(mark))


class _Builder:
    """Turns composed YAML into nodes. Anchors are copied, merge keys (`<<`) applied, bombs and circles refused."""

    def __init__(self) -> None:
        self._count = 0
        self._open: set[int] = set()

    def build(self, source: yaml.Node, path: str) -> Node:
        mark = _mark(source.start_mark)
        self._count += 1
        if self._count > MAX_NODES:
            raise Broken(f"the document expands to more than {MAX_NODES:,} values", mark, path)
        if id(source) in self._open:
            raise Broken("an anchor cannot contain itself", mark, path)
        if isinstance(source, yaml.ScalarNode):
            return Node(_scalar(source, mark, path), mark, path, is_block=source.style in ("|", ">"))
        self._open.add(id(source))
        try:
            if source.tag not in (_TAG + "map", _TAG + "seq"):
                raise Broken(f"the tag {source.tag.replace(_TAG, '!!')} is not supported", mark, path)
            if isinstance(source, yaml.MappingNode):
                return Node(self._entries(source, path), mark, path, is_map=True)
            items = [self.build(item, f"{path}[{i}]") for i, item in enumerate(source.value)]
            return Node(items, mark, path, is_list=True)
        finally:
            self._open.discard(id(source))

    def _entries(self, source: yaml.MappingNode, path: str) -> list[tuple[str, Mark, Node]]:
        own: dict[str, tuple[str, Mark, Node]] = {}
        merged: dict[str, tuple[str, Mark, Node]] = {}
        for key, value in source.value:
            mark = _mark(key.start_mark)
            if isinstance(key, yaml.MappingNode):
                raise Broken("a text that begins with a brace must stand in quotes, or below `|`", mark, path)
            if not isinstance(key, yaml.ScalarNode):
                raise Broken("a key must be a word, not a list", mark, path)
            if key.tag == _TAG + "merge":
                merged = self._merge(value, path) | merged
            elif key.value in own:
                raise Broken(f"duplicate key '{key.value}' (first at line {own[key.value][1].line})", mark, path)
            else:
                step = f".{key.value}" if _PLAIN_KEY.match(key.value) else f"[{key.value!r}]"
                own[key.value] = (key.value, mark, self.build(value, path + step))
        return list((merged | own).values())

    def _merge(self, source: yaml.Node, path: str) -> dict[str, tuple[str, Mark, Node]]:
        entries: dict[str, tuple[str, Mark, Node]] = {}
        for part in source.value if isinstance(source, yaml.SequenceNode) else [source]:
            node = self.build(part, path)
            if not node.is_map:
                raise Broken("`<<` takes a mapping, or a list of mappings", node.mark, path)
            entries = {entry[0]: entry for entry in node.value} | entries
        return entries


def _scalar(source: yaml.ScalarNode, mark: Mark, path: str) -> Any:
    text: str = source.value
    try:
        match source.tag.removeprefix(_TAG):
            case "str" | "merge":
                return text
            case "int":
                return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            case "float":
                return _finite(text)
            case "bool":
                return {"true": True, "false": False}[text.lower()]
            case "null":
                return None
            case tag:
                raise Broken(f"the tag !!{tag.lstrip('!')} is not supported", mark, path)
    except (ValueError, KeyError):
        raise Broken(f"{text[:40]!r} cannot be read as {source.tag.removeprefix(_TAG)}", mark, path) from None


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(text)
    return value
