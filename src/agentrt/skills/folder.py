"""The files of a skill: which there are, what is in them, and a copy to mount. Nothing outside the folder is ever touched."""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from .skill import MAX_FILE, Skill, read_file

MOST_FILES, MOST_BYTES = 2000, 64 * 1024 * 1024
_UNWANTED = frozenset({"__pycache__", ".git", "node_modules"})


def files_of(skill: Skill) -> list[str]:
    """Paths of the skill's regular files, relative to it, in order; at most MOST_FILES. Those that a model could not name are
    left out."""
    paths = (path.relative_to(skill.folder).as_posix() for path, _ in _regular(skill.folder))
    return [path for path in paths if path.isprintable()]


def text_of(skill: Skill, path: str) -> str:
    """A file's text. ValueError, a sentence for a model, where it is none of the skill's, or no text."""
    if path not in files_of(skill):
        there = ", ".join(files_of(skill)[:50])
        raise ValueError(f"the skill {skill.name} has no file {path[:200]!r}; it has: {there}")
    data = read_file(skill.folder / path, MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise ValueError(f"{path} is larger than {MAX_FILE} bytes; read it in the sandbox at /skills/{skill.name}/{path}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text; use it in the sandbox at /skills/{skill.name}/{path}") from None


def stamp_of(skills: Sequence[Skill]) -> str:
    """Something that differs as soon as a file of these skills was added, removed or written."""
    seen = hashlib.sha256()
    for skill in skills:
        for path, status in _regular(skill.folder):
            told = f"{skill.name}\0{path}\0{status.st_mtime_ns}\0{status.st_size}\0{status.st_ino}\n"
            seen.update(told.encode(errors="surrogateescape"))  # names of files are bytes, whatever they mean
    return seen.hexdigest()[:32]


def copy_to(skills: Sequence[Skill], target: Path) -> None:
    """Copies of these skills as `target/NAME/…`, readable by everybody; `target` appears at once or not at all."""
    partly = target.with_name(f"{target.name}.part")
    shutil.rmtree(partly, ignore_errors=True)
    partly.mkdir(parents=True, mode=0o755)
    for skill in skills:
        for path, status in _regular(skill.folder):
            copy = partly / skill.name / path.relative_to(skill.folder)
            copy.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            with suppress(FileNotFoundError, PermissionError):  # removed while we looked, or not for us to read
                shutil.copyfile(path, copy, follow_symlinks=False)
                copy.chmod(0o755 if status.st_mode & stat.S_IXUSR else 0o644)
    partly.replace(target)


def _regular(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Regular files in order, without hidden folders, caches and links, up to the limits."""
    files = size = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _UNWANTED and not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            try:
                status = path.lstat()
            except OSError:
                continue  # removed while we looked
            if not stat.S_ISREG(status.st_mode):
                continue
            files, size = files + 1, size + status.st_size
            if files > MOST_FILES or size > MOST_BYTES:
                return
            yield path, status
