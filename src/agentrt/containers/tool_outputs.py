"""The structured content of what the code tools answer, as JSON Schemas by the tools' names."""

from typing import Any


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


_TEXT, _WHOLE, _TRUTH = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
_ARTIFACT = _object(("file", "name", "media_type", "size"), file=_TEXT, name=_TEXT, media_type=_TEXT, size=_WHOLE)
_ARTIFACTS = {"type": "array", "items": _ARTIFACT}
_ENTRY = _object(("path", "type", "size"), path=_TEXT, type=_TEXT, size=_WHOLE)

EXECUTED = _object(
    ("exit_code", "stdout", "stderr", "result", "artifacts", "not_kept", "truncated", "state_lost", "ended", "duration_ms"),
    exit_code=_WHOLE,
    stdout=_TEXT,
    stderr=_TEXT,
    result={"type": "string", "description": "The value of the last expression."},
    artifacts={**_ARTIFACTS, "description": "Files that it made; `file` is an id under /v1/files."},
    not_kept={"type": "array", "items": _TEXT, "description": "Files that it made and that are in the workspace only."},
    truncated={"type": "boolean", "description": "There was more output; the run's events have it."},
    state_lost={"type": "boolean", "description": "Variables of earlier calls are gone."},
    ended={"type": "string", "description": "`exited`, or what cut it short."},
    duration_ms={"type": "number"},
)
_READ = _object(
    ("path",),
    path=_TEXT,
    content=_TEXT,
    first_line=_WHOLE,
    lines=_WHOLE,
    total_lines=_WHOLE,
    truncated=_TRUTH,
)
_WRITTEN = _object(("path", "size", "artifacts"), path=_TEXT, size=_WHOLE, artifacts=_ARTIFACTS)
_LISTED = _object(("files", "truncated"), files={"type": "array", "items": _ENTRY}, truncated=_TRUTH)

OUTPUTS = {
    "execute_python": EXECUTED,
    "execute_bash": EXECUTED,
    "install_package": EXECUTED,
    "read_file": _READ,
    "write_file": _WRITTEN,
    "edit_file": _WRITTEN,
    "list_files": _LISTED,
    "glob_files": _LISTED,
    "delete_file": _object(("path", "deleted"), path=_TEXT, deleted=_TRUTH),
}
