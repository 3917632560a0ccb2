"""YAML text -> typed value, or problems as `file:line:column: message (did you mean 'x'?) at $.path`. Pure."""

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import inspect

from agentrt.kernel import Invalid, suggest

from .yaml_tree import Broken, Mark, Node, read

T = TypeVar("T")
# finds what types cannot say, as (path, message, line within the text or 0)
Check = Callable[[T], Sequence[tuple[str, str, int]]]

MOST_PROBLEMS = 20
_STEP = re.compile(r"\.([^.\[\]]+)|\['([^']*)'\]|\[(\d+)\]|(\[\.\.\.\])")
_NAMED = re.compile(r"`(.*)`")
_TRUTH = {"yes": "true", "on": "true", "no": "false", "off": "false"}


class Problem(msgspec.Struct, frozen=True, order=True):
    """One thing that is wrong in a document. `source` is the file as the operator named it; lines and columns begin at 1."""

    source: str
    line: int
    column: int
    message: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}: {self.message}{f' at {self.path}' if self.path else ''}"


class BadDocument(Invalid):
    """A document that cannot be used; `problems` has at least one."""

    default_code = "bad_document"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


class Document(Generic[T]):
    """A value with the places of its parts."""

    def __init__(self, value: T, source: str, tree: Node) -> None:
        self.value, self.source, self._tree = value, source, tree

    def require(self, check: Check[T]) -> None:
        """BadDocument with everything that `check` finds."""
        if found := [self.problem(*finding) for finding in check(self.value)]:
            raise BadDocument(found)

    def problem(self, path: str, message: str, line: int = 0) -> Problem:
        """`message` about the part at `path` (`$.tools[0].match`), or its nearest ancestor that is written down. `line` is
        the line within a text, from 1, where the message is about one."""
        node, mark = self._tree, self._tree.mark
        for step in _STEP.finditer(path):
            key = step[1] or step[2] or (int(step[3]) if step[3] else "")
            found = node.child(key)
            if found is None:
                break
            node, mark = found, found.mark
        if line and node.is_block:
            mark = Mark(mark.line + line, 1)
        return Problem(self.source, mark.line, mark.column, message, path)


def parse(data: bytes | str, type_: type[T], source: str) -> Document[T]:
    """The typed document in `data`. BadDocument names every problem found, up to 20."""
    try:
        tree = read(data)
    except Broken as exc:
        raise BadDocument([Problem(source, exc.mark.line, exc.mark.column, exc.message, exc.path)]) from None
    if tree.value is None and not tree.is_map:
        tree = Node([], tree.mark, "$", is_map=True)
    return Document(_Converter(tree, type_, source).convert(), source, tree)


def fit(given: Any, type_: type[T], place: str) -> T:
    """`given`, plain data that the settings hold at `place`, as a `type_`; text may stand for numbers, truth values and lists
    (with commas), as the environment has it. Invalid names every part that does not fit, a line each."""
    try:
        return _Converter(_grown(given, "$"), type_, place, strict=False).convert()
    except BadDocument as exc:
        found = [f"{place}{problem.path[1:]} in the settings: {problem.message}" for problem in exc.problems]
        raise Invalid("\n".join(found), code="invalid_settings") from None


def _grown(value: Any, path: str) -> Node:
    """Plain data as a tree whose places are unknown."""
    mark = Mark(1, 1)
    if isinstance(value, dict):
        entries = [(str(key), mark, _grown(inner, f"{path}.{key}")) for key, inner in value.items()]
        return Node(entries, mark, path, is_map=True)
    if isinstance(value, list):
        return Node([_grown(inner, f"{path}[{i}]") for i, inner in enumerate(value)], mark, path, is_list=True)
    return Node(value, mark, path)


class _Converter(Generic[T]):
    """Converts a tree; what fails is noted, cut out, and the rest is tried again, so that one pass shows every problem."""

    def __init__(self, tree: Node, type_: type[T], source: str, *, strict: bool = True) -> None:
        self._tree, self._type, self._source, self._strict = tree, type_, source, strict
        self._problems: list[Problem] = []
        self._cut: set[tuple[str, str]] = set()  # (path of a mapping, field) that was wrong, so is no longer there

    def convert(self) -> T:
        while True:
            try:
                value = msgspec.convert(self._tree.plain(), self._type, strict=self._strict)
            except msgspec.ValidationError as exc:
                if self._note(str(exc)) and len(self._problems) < MOST_PROBLEMS:
                    continue
            else:
                if not self._problems:
                    return value
            raise BadDocument(self._problems)

    def _note(self, error: str) -> bool:
        """Record one error of msgspec; whether it could be cut out."""
        message, _, where = error.partition(" - at ")
        parents, types = self._walk(where.split("`")[-2] if "`" in where else "$", error)
        node = parents[-1]
        if message.startswith("Object contains unknown field"):
            return self._unknown_field(node, _quoted(message), types)
        if message.startswith("Object missing required field"):
            return self._missing_field(node, _quoted(message), parents, types)
        if not self._strict and isinstance(node.value, str) and message.startswith("Expected `array"):
            node.value = [Node(part.strip(), node.mark, f"{node.path}[{i}]") for i, part in enumerate(node.value.split(","))]
            node.is_list = True
            return True
        if not (node.is_list and (node.path, "[]") in self._cut):  # else it is too short only because of our cut
            self._add(node.mark, _explain(message, node, types), node.path)
        return self._remove(node, parents)

    def _unknown_field(self, node: Node, field: str, types: list[Any]) -> bool:
        fields = _fields(types)
        hint = suggest(field, fields) or f"; known are {', '.join(fields)}"
        self._add(node.key_mark(field), f"unknown field '{field}'{hint}", node.path)
        node.value = [entry for entry in node.value if entry[0] != field]
        self._cut |= {(node.path, known) for known in get_close_matches(field, fields, 1)}
        return True

    def _missing_field(self, node: Node, field: str, parents: list[Node], types: list[Any]) -> bool:
        if (node.path, field) not in self._cut:
            empty = "the document is empty: " if node is self._tree and not node.value and not self._problems else ""
            self._add(node.mark, f"{empty}missing required field '{field}'", node.path)
        return self._remove(node, parents)

    def _remove(self, node: Node, parents: list[Node]) -> bool:
        if len(parents) < 2:
            return False
        parent = parents[-2]
        if parent.is_map:
            self._cut |= {(parent.path, entry[0]) for entry in parent.value if entry[2] is node}
            parent.value = [entry for entry in parent.value if entry[2] is not node]
        else:
            self._cut.add((parent.path, "[]"))
            parent.value = [item for item in parent.value if item is not node]
        return True

    def _add(self, mark: Mark, message: str, path: str) -> None:
        self._problems.append(Problem(self._source, mark.line, mark.column, message, path))

    def _walk(self, path: str, error: str) -> tuple[list[Node], list[Any]]:
        """The nodes from the root to the one at msgspec's path, and the types that the last may have."""
        nodes, types = [self._tree], _alternatives(inspect.type_info(self._type))
        for step in _STEP.finditer(path):
            key = self._first_bad(nodes[-1], error) if step[4] else int(step[3]) if step[3] else step[1]
            types = [inner for outer in types for inner in _inner(outer, key)]
            found = nodes[-1].child(key)
            if found is None:
                break
            nodes.append(found)
        return nodes, types

    def _first_bad(self, node: Node, error: str) -> str:
        """msgspec does not name the key of a dict: the first entry with which the error appears is the bad one."""
        entries = node.value
        try:
            for count, entry in enumerate(entries, 1):
                node.value = entries[:count]
                try:
                    msgspec.convert(self._tree.plain(), self._type, strict=self._strict)
                except msgspec.ValidationError as exc:
                    if str(exc) == error:
                        return entry[0]
        finally:
            node.value = entries
        return ""


def _quoted(message: str) -> str:
    found = _NAMED.search(message)
    return found[1] if found else ""


def _alternatives(info: Any) -> list[Any]:
    if isinstance(info, inspect.Metadata):
        return _alternatives(info.type)
    if isinstance(info, inspect.UnionType):
        return [inner for each in info.types for inner in _alternatives(each)]
    return [info]


def _inner(info: Any, key: str | int) -> list[Any]:
    """The types that the part `key` of a value of this type may have."""
    if isinstance(info, inspect.StructType):
        if info.tag_field == key:
            return [inspect.LiteralType((info.tag,))]
        return [t for field in info.fields if field.encode_name == key for t in _alternatives(field.type)]
    if isinstance(info, inspect.ListType | inspect.VarTupleType | inspect.SetType | inspect.FrozenSetType):
        return _alternatives(info.item_type)
    return _alternatives(info.value_type) if isinstance(info, inspect.DictType) else []


def _fields(types: list[Any]) -> list[str]:
    return [field.encode_name for info in types if isinstance(info, inspect.StructType) for field in info.fields]


def _explain(message: str, node: Node, types: list[Any]) -> str:
    """msgspec's message for a person: with what was found, what is allowed, and what to type."""
    value = node.value
    if message.startswith(("Invalid enum value", "Invalid value")):
        allowed = [str(v) for info in types if isinstance(info, inspect.LiteralType) for v in info.values]
        return f"{value!r} is not one of {', '.join(map(repr, allowed))}{suggest(str(value), allowed)}"
    if message.startswith("Expected `str` matching regex"):
        return f"{_short(value)} does not match {message.partition('regex ')[2].strip(chr(39))}"
    message = message[0].lower() + message[1:]
    if "got `" not in message and not (node.is_map or node.is_list):
        return f"{message}, got {_short(value)}"
    expected, _, got = message.partition(", got ")
    return message + _remedy(expected, got.strip("`"), value)


def _remedy(expected: str, got: str, value: Any) -> str:
    if "bool" in expected and isinstance(value, str) and value.lower() in _TRUTH:
        return f" (write {_TRUTH[value.lower()]})"
    if got == "null":
        return " (give it a value, or remove the line)"
    if "str" in expected and got in ("int", "float", "bool"):
        return " (put it in quotes)"
    if "array" in expected and got == "str" and "object" not in expected:
        return " (write a list: put it in [ ])"
    if got == "str" and isinstance(value, str) and re.fullmatch(r"[-+]?[0-9.]+", value):
        return " (remove the quotes)"
    return ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…" + text[-1]
