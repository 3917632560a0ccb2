"""One skill: a folder whose SKILL.md says, in a YAML head, what the skill is for, and below it how it is done.

The format is Agent Skills (agentskills.io/specification). Real skills often miss some of its rules: a breach is a warning, and
the skill is used all the same, as long as it can be named and described.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

SKILL_FILE = "SKILL.md"
MAX_FILE, MAX_HEAD = 262_144, 16_384
MAX_NAME, MAX_DESCRIPTION, MAX_COMPATIBILITY, MAX_LINES = 64, 1024, 500, 500
_MOST_BYTES = 255  # of a folder's name
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_HEAD = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FIELDS = frozenset({"name", "description", "license", "compatibility", "metadata", "allowed-tools"})


class Skill(msgspec.Struct, frozen=True, kw_only=True):
    """A skill as its folder says it. `body` is SKILL.md below its head; `warnings` are sentences for the operator."""

    name: str
    description: str
    folder: Path
    body: str
    license: str = ""
    compatibility: str = ""
    allowed_tools: tuple[str, ...] = ()
    metadata: Mapping[str, str] = {}
    warnings: tuple[str, ...] = ()


def load_skill(folder: Path) -> Skill:
    """The skill in `folder`; ValueError, a sentence, where there is nothing that could be used as one."""
    head, body = _split(_text_of(entry_of(folder)))
    fields, warnings = _fields_of(head)
    name = _line(fields.get("name")) or _line(folder.name)
    if name in ("", ".", "..") or "/" in name:
        raise ValueError(f"its name cannot be that of a folder: {name[:80]!r}")
    description = _line(fields.get("description")) or _first_line(body)
    if not description:
        raise ValueError(f"{SKILL_FILE} describes nothing: its head has no description, and it has no text")
    warnings += _breaches(name, fields, folder, body)
    allowed, metadata = fields.get("allowed-tools"), fields.get("metadata")
    return Skill(
        name=name[:MAX_NAME].encode()[:_MOST_BYTES].decode(errors="ignore"),
        description=description[:MAX_DESCRIPTION],
        folder=folder,
        body=body,
        license=_line(fields.get("license")),
        compatibility=_line(fields.get("compatibility"))[:MAX_COMPATIBILITY],
        allowed_tools=tuple(map(_line, allowed)) if isinstance(allowed, list) else tuple(_line(allowed).split()),
        metadata={_line(k): _line(v) for k, v in metadata.items()} if isinstance(metadata, dict) else {},
        warnings=tuple(warnings),
    )


def entry_of(folder: Path) -> Path:
    """Its SKILL.md, or skill.md where only that is there."""
    usual, small = folder / SKILL_FILE, folder / SKILL_FILE.lower()
    return small if os.path.lexists(small) and not os.path.lexists(usual) else usual


def read_file(file: Path, most: int) -> bytes:
    """The first `most` bytes of a regular file. OSError, also for a link and for what is no file: reading it might never end."""
    handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        return stream.read(most)


def _text_of(file: Path) -> str:
    try:
        data = read_file(file, MAX_FILE + 1)
    except FileNotFoundError:
        raise ValueError(f"there is no {SKILL_FILE}") from None
    except OSError as exc:
        why = "it is a link" if exc.errno == errno.ELOOP else exc.strerror
        raise ValueError(f"{SKILL_FILE} cannot be read: {why}") from None
    if len(data) > MAX_FILE:
        raise ValueError(f"{SKILL_FILE} is larger than {MAX_FILE} bytes; move parts of it to files of their own")
    if b"\0" in data:
        raise ValueError(f"{SKILL_FILE} is no text")
    return data.decode("utf-8-sig", "replace").replace("\r\n", "\n")


def _split(text: str) -> tuple[str | None, str]:
    """The YAML head, None where there is none, and what follows it."""
    found = _HEAD.match(text)
    return (found[1], text[found.end() :].strip()) if found else (None, text.strip())


def _fields_of(head: str | None) -> tuple[dict[str, Any], list[str]]:
    """Every scalar is text, as the format has it: no value is a date or a number, none that is odd keeps the others from us."""
    if head is None:
        return {}, [f"{SKILL_FILE} has no YAML head between two lines of ---"]
    if len(head) > MAX_HEAD:
        return _by_line(head), [f"the head of {SKILL_FILE} has more than {MAX_HEAD} characters"]
    try:
        fields = yaml.load(head, yaml.BaseLoader)  # which makes nothing but text, lists and mappings
    except (yaml.YAMLError, RecursionError) as exc:
        why = "it is nested too deeply" if isinstance(exc, RecursionError) else " ".join(str(exc).split())
        return _by_line(head), [f"the head of {SKILL_FILE} is not valid YAML: {why}"]
    if not isinstance(fields, dict):
        return {}, [f"the head of {SKILL_FILE} is not a mapping"]
    return fields, []


def _by_line(head: str) -> dict[str, Any]:
    """What a head means that is no YAML: mostly a description with a colon in it."""
    lines = (line.partition(":") for line in head.splitlines() if line[:1].isalpha())
    return {name.strip(): value.strip().strip("\"'") for name, colon, value in lines if colon}


def _breaches(name: str, fields: Mapping[str, Any], folder: Path, body: str) -> Iterator[str]:
    if not fields.get("name"):
        yield "the head has no name; the folder's is used"
    elif not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        yield f"the name {name[:80]!r} should be up to {MAX_NAME} of a-z, 0-9 and single hyphens"
    if fields.get("name") and name != folder.name:
        yield f"the name {name[:80]!r} should be that of the folder, {folder.name!r}"
    description = _line(fields.get("description"))
    if not description:
        yield "the head has no description; the first line of the text is used"
    elif len(description) > MAX_DESCRIPTION:
        yield f"the description has {len(description)} characters; {MAX_DESCRIPTION} are shown"
    if len(_line(fields.get("compatibility"))) > MAX_COMPATIBILITY:
        yield f"compatibility has more than {MAX_COMPATIBILITY} characters"
    if fields.get("metadata") and not isinstance(fields["metadata"], dict):
        yield "metadata should be a mapping"
    if unknown := sorted(fields.keys() - _FIELDS):
        yield f"the head has fields that the format does not know: {', '.join(unknown)[:200]}"
    if body.count("\n") >= MAX_LINES:
        yield f"the text has more than {MAX_LINES} lines; move parts of it to files that are read when they are needed"


def _line(value: Any) -> str:
    """A field as one line of text without control characters; empty for anything that is no text."""
    return " ".join("".join(c if c.isprintable() else " " for c in value).split()) if isinstance(value, str) else ""


def _first_line(body: str) -> str:
    return next((_line(line.lstrip("# ")) for line in body.splitlines() if line.strip("# \t")), "")
