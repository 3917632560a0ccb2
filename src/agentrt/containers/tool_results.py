"""What came of an execution, in words for a model and in fields for programs."""

from typing import Any

from agentrt.messages import Image, Text, ToolCall, ToolResult
from agentrt.tools import Artifact

from .sandboxes import Execution

MOST_IMAGES, MOST_IMAGE_BYTES = 4, 4 * 1024 * 1024
PICTURES = frozenset(("image/png", "image/jpeg", "image/gif", "image/webp"))

_ENDED = {
    "wall": "It was stopped: it took longer than the {limit:g} s that it may take.",
    "cpu": "It was stopped: it used up its processor time.",
    "output": "It was stopped: it wrote more output than it may.",
    "disk": "It was stopped: the workspace holds more than it may; delete some of its files.",
    "cancelled": "It was stopped: the call was cancelled.",
    "box": "The container ended while it ran; its files are kept. The memory limit may have been reached.",
}
_KILLED = (-9, 137)  # the latter as shells pass it on
STATE_LOST = "The interpreter was started anew: variables and imports of earlier calls are gone; the files are still there."


def execution_result(call: ToolCall, done: Execution, wall_s: float) -> ToolResult:
    """`is_error` where it did not end with exit code 0."""
    outcome = done.outcome
    text = "\n".join(filter(None, _lines(done, wall_s)))
    pictures = tuple(map(picture, filter(_is_shown, done.made.artifacts)))[:MOST_IMAGES]
    structured = {
        "exit_code": outcome.exit_code,
        "stdout": done.stdout,
        "stderr": done.stderr,
        "result": outcome.value,
        "artifacts": [artifact_view(artifact) for artifact in done.made.artifacts],
        "not_kept": list(done.made.left_out),
        "truncated": done.truncated,
        "state_lost": done.state_lost,
        "ended": outcome.ended or "exited",
        "duration_ms": round(outcome.duration_ms, 3),
    }
    failed = bool(done.why) or outcome.exit_code != 0 or bool(outcome.ended)
    return ToolResult(call.id, (Text(text), *pictures), is_error=failed, structured=structured)


def _lines(done: Execution, wall_s: float) -> list[str]:
    outcome = done.outcome
    said = [done.stdout.rstrip("\n"), outcome.value]
    if done.stderr:
        said.append(f"[stderr]\n{done.stderr.rstrip()}")
    if done.why:
        said.append(f"[{done.why}; the files are kept]")
    elif outcome.ended:
        said.append(_ENDED[outcome.ended].format(limit=wall_s))
    elif outcome.exit_code:
        why = ": it was killed; the memory limit may have been reached" if outcome.exit_code in _KILLED else ""
        said.append(f"[exit code {outcome.exit_code}{why}]")
    if done.made.artifacts:
        said.append("[files] " + ", ".join(f"{a.name} ({a.media_type}, {a.size} bytes)" for a in done.made.artifacts))
    if done.made.left_out:
        more = len(done.made.left_out) + done.made.more
        said.append(f"[{more} more files were written; they are in the workspace only]")
    if not done.made.complete:
        said.append("[the workspace holds too many files to tell all that were written]")
    if done.state_lost:
        said.append(f"[{STATE_LOST}]")
    return said if any(said) else ["[no output]"]


def artifact_view(artifact: Artifact) -> dict[str, Any]:
    """`file` is its id under `/v1/files`, `name` its path in the workspace."""
    return {"file": artifact.file, "name": artifact.name, "media_type": artifact.media_type, "size": artifact.size}


def picture(artifact: Artifact) -> Image:
    return Image(file=artifact.file, media_type=artifact.media_type)


def _is_shown(artifact: Artifact) -> bool:
    return artifact.media_type in PICTURES and 0 < artifact.size <= MOST_IMAGE_BYTES
