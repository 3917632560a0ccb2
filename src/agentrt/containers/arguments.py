"""Arguments of the code tools, checked: one clear sentence for each mistake."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from agentrt.kernel import Invalid

from .tool_defs import MOST_CODE


class Args(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True): ...


class ExecutePython(Args, frozen=True):
    code: str
    timeout_s: float | None = None
    stateful: bool = True


class ExecuteBash(Args, frozen=True):
    command: str
    timeout_s: float | None = None


class ReadFile(Args, frozen=True):
    path: str
    offset: int | None = None
    limit: int | None = None


class WriteFile(Args, frozen=True):
    path: str
    content: str


class EditFile(Args, frozen=True):
    path: str
    old_text: str
    new_text: str
    replace_all: bool = False


class ListFiles(Args, frozen=True):
    path: str = "."
    recursive: bool = False


class GlobFiles(Args, frozen=True):
    pattern: str
    path: str = "."


class DeleteFile(Args, frozen=True):
    path: str
    recursive: bool = False


class InstallPackage(Args, frozen=True):
    packages: tuple[str, ...]


Given = ExecutePython | ExecuteBash | ReadFile | WriteFile | EditFile | ListFiles | GlobFiles | DeleteFile | InstallPackage
_TYPES: Mapping[str, type[Given]] = {
    "execute_python": ExecutePython,
    "execute_bash": ExecuteBash,
    "read_file": ReadFile,
    "write_file": WriteFile,
    "edit_file": EditFile,
    "list_files": ListFiles,
    "glob_files": GlobFiles,
    "delete_file": DeleteFile,
    "install_package": InstallPackage,
}


def given(name: str, arguments: Mapping[str, Any]) -> Given:
    """The arguments of tool `name`. Invalid says which is wrong, and why."""
    try:
        return msgspec.convert(arguments, _TYPES[name])
    except msgspec.ValidationError as exc:
        raise Invalid(f"{name}: {_lowered(str(exc))}", code="invalid_arguments") from None


def check_code(code: str, what: Literal["code", "command"]) -> None:
    """Invalid for none, too much of it, or what no program holds."""
    if not code.strip():
        raise Invalid(f"there is no {what} to execute", code="no_code", param=what)
    if len(code.encode("utf-8", "replace")) > MOST_CODE:
        raise Invalid(
            f"the {what} is larger than {MOST_CODE // 1024} KiB; write it to a file, and execute that",
            code="code_too_large",
            param=what,
        )
    if "\x00" in code:
        raise Invalid(f"the {what} holds a NUL byte", code="nul_in_code", param=what)
    try:
        code.encode()
    except UnicodeEncodeError:
        raise Invalid(f"the {what} is not valid Unicode: it holds half of a surrogate pair", param=what) from None


def wall_limit(wanted: float | None, allowed: float, left: float) -> float:
    """Seconds that an execution gets. `left` is what its caller waits. Invalid for what the operator does not allow."""
    if wanted is not None and not 0 < wanted <= allowed:  # also false for NaN
        raise Invalid(f"timeout_s must be more than 0 and at most {allowed:g}", code="invalid_timeout", param="timeout_s")
    # a little before the caller gives up, so that it hears what was printed until then
    return max(0.05, min(wanted or allowed, left - 1.0 if left > 2.0 else left / 2))


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
