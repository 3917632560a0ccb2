"""Files -> documents of a kind, or problems. Reads files; keeps nothing."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from .kind import Kind, Versioned, canonical, version_of
from .yaml_document import BadDocument, Document, Problem, parse
from .yaml_tree import MAX_BYTES

T = TypeVar("T")
ENDINGS = (".yaml", ".yml")


class Loaded(msgspec.Struct, Generic[T], frozen=True):
    """One file's document, with where its names stand."""

    entry: Versioned[T]
    document: Document[T]

    @property
    def names(self) -> tuple[str, ...]:
        return (self.entry.name, *self.entry.aliases)

    def claim(self, name: str, message: str) -> Problem:
        """`message` about the place where the file claims `name`; its start where the name is the file's own."""
        aliases = self.entry.aliases
        return self.document.problem(f"$.aliases[{aliases.index(name)}]" if name in aliases else "$.name", message)


class Scan(msgspec.Struct, Generic[T], frozen=True):
    """What the files of a kind hold now. `bad` are the sources that cannot be used."""

    loaded: dict[str, Loaded[T]]
    problems: tuple[Problem, ...]
    bad: frozenset[str]


def scan(kind: Kind[T], serving: Mapping[str, str]) -> Scan[T]:
    """Read every file of the kind. `serving` maps each name in use to its source: who serves a name keeps it against
    another file that claims it."""
    loaded: dict[str, Loaded[T]] = {}
    problems: list[Problem] = []
    bad: set[str] = set()
    files = dict(files_of(kind))
    for source, file in files.items():
        try:
            loaded[source] = load(kind, file, source)
        except BadDocument as exc:
            problems += exc.problems
            bad.add(source)
    for source, found in _contested(loaded, serving, bad).items():
        problems += found
        bad.add(source)
        del loaded[source]
    if not files and not kind.optional:
        problems.append(_nothing_there(kind))
    return Scan(loaded, tuple(problems), frozenset(bad))


def files_of(kind: Kind[Any]) -> Iterator[tuple[str, Path]]:
    """Each file of the kind with the name to show for it: relative to where the operator pointed, never absolute."""
    for path, shown in _shown(kind).items():
        if os.path.isdir(path):
            for file in _inside(path):
                if file.suffix in ENDINGS and not file.name.startswith(".") and os.path.isfile(file):
                    yield (shown / file.name).as_posix(), file
        elif os.path.isfile(path):
            yield shown.as_posix(), path


def _shown(kind: Kind[Any]) -> dict[Path, Path]:
    """The kind's paths with what to call them: of absolute ones as few of the last parts as tell them apart."""
    names: dict[Path, Path] = {}
    for path in dict.fromkeys(kind.paths):
        tails = [Path(*path.parts[-n:]) for n in range(1, len(path.parts))] if path.is_absolute() else []
        names[path] = next((tail for tail in tails if tail not in names.values()), Path(path.name) if tails else path)
    return names


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # no right to read it, or it went meanwhile: `scan` says that nothing is there
        return []


def load(kind: Kind[T], file: Path, source: str) -> Loaded[T]:
    """The document in `file`. BadDocument with every problem found, the file's own troubles included."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as exc:
        raise BadDocument([Problem(source, 1, 1, f"the file cannot be read: {exc.strerror}")]) from None
    document = parse(data, kind.type, source)
    if kind.check:
        document.require(kind.check)
    if kind.amend:
        document.value = kind.amend(document.value)
    # as it will be read back from the database: 3600 and 3600.0 are one value there
    document.value = msgspec.json.decode(canonical(document.value), type=kind.type)
    names = tuple(kind.names(document.value)) if kind.names else (file.stem,)
    return Loaded(Versioned(names[0], version_of(document.value), document.value, source, names[1:]), document)


def _contested(loaded: Mapping[str, Loaded[T]], serving: Mapping[str, str], bad: set[str]) -> dict[str, list[Problem]]:
    """The files that claim a name of another: who serves it now keeps it (also while its own file is bad), else the first
    in order."""
    owners = {name: source for name, source in serving.items() if source in bad or name in _names(loaded.get(source))}
    refused: dict[str, list[Problem]] = {}
    for source, one in loaded.items():
        for name in one.names:
            owner = owners.setdefault(name, source)
            if owner != source:
                there = loaded[owner].claim(name, "") if owner in loaded else Problem(owner, 1, 1, "")
                message = f"the name '{name}' is taken by {there.source}:{there.line}:{there.column}"
                refused.setdefault(source, []).append(one.claim(name, message))
    return refused


def _names(one: Loaded[Any] | None) -> tuple[str, ...]:
    return one.names if one else ()


def _nothing_there(kind: Kind[Any]) -> Problem:
    path, shown = next(iter(_shown(kind).items()))
    return Problem(shown.as_posix(), 1, 1, why_nothing(path))


def why_nothing(path: Path) -> str:
    """Why there is no document at `path`."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "there is no such file or folder"
    except OSError as exc:
        return f"it cannot be read: {(exc.strerror or str(exc)).lower()}"
    return "the folder holds no *.yaml file" if os.access(path, os.R_OK | os.X_OK) else "the folder cannot be read"
