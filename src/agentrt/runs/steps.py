"""The model and tool calls of a run with their times, and the files they made, from its records. Pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from agentrt import events as e
from agentrt.kernel import rfc3339
from agentrt.messages import Usage

from .views import ArtifactView, FailedAttempt, RunError, RunUsage, Step


def usage_view(usage: Usage) -> RunUsage:
    return RunUsage(
        input_tokens=usage.input,
        output_tokens=usage.output,
        total_tokens=usage.total,
        cached_tokens=usage.cached,
        reasoning_tokens=usage.reasoning,
        cache_write_tokens=usage.cache_write,
        audio_input_tokens=usage.audio_input,
        audio_output_tokens=usage.audio_output,
        image_input_tokens=usage.image_input,
        image_output_tokens=usage.image_output,
        cache_hit_ratio=usage.cache_hit_ratio,
        estimated=usage.estimated,
    )


def steps_of(records: Sequence[e.Record]) -> list[Step]:
    """One step for each call that was begun, in order of beginning; a call made again after a restart is one step."""
    steps: dict[str, Step] = {}
    for record in records:
        _apply(steps, record)
    return list(steps.values())


def artifacts_of(records: Sequence[e.Record]) -> list[ArtifactView]:
    """The files that tool calls made, in the order in which they came."""
    return [
        ArtifactView(
            file=made.file,
            name=made.name,
            media_type=made.media_type,
            size=made.size,
            call_id=made.call_id or None,
            created_at=rfc3339(record.at),
        )
        for record in records
        if isinstance(made := record.event, e.ArtifactCreated)
    ]


def _apply(steps: dict[str, Step], record: e.Record) -> None:
    at = rfc3339(record.at)
    match record.event:
        case e.ModelStarted(step=step, model=model):
            steps[f"model {step}"] = Step(index=len(steps), type="model", status="running", name=model, started_at=at)
        case e.ModelRetrying(step=step) as failed:
            known = steps[f"model {step}"]
            tries = (*known.failed_attempts, _attempt(failed))
            steps[f"model {step}"] = replace(known, attempts=known.attempts + (failed.attempt > 0), failed_attempts=tries)
        case e.ModelCompleted(step=step) as done:
            known = steps[f"model {step}"]
            steps[f"model {step}"] = replace(
                known,
                status="completed",
                name=done.model.removeprefix(f"{done.provider}/") if done.provider else known.name,
                usage=usage_view(done.usage),
                cost_usd=done.cost_usd,
                ended_at=at,
                duration_ms=done.duration_ms,
                first_token_ms=done.first_token_ms,
            )
        case e.ModelFailed(step=step) as failed:
            steps[f"model {step}"] = replace(
                steps[f"model {step}"],
                status="failed",
                usage=usage_view(failed.usage),
                cost_usd=failed.cost_usd,
                error=RunError(failed.code, failed.message),
                ended_at=at,
                duration_ms=failed.duration_ms,
            )
        case e.ToolStarted(call=call, attempt=attempt):
            known = steps.get(call.id)
            begun = Step(index=len(steps), type="tool", status="running", name=call.name, call_id=call.id, started_at=at)
            steps[call.id] = replace(known or begun, arguments=call.arguments, attempts=attempt)
        case e.ToolCompleted(call_id=call_id, duration_ms=duration) if call_id in steps:
            steps[call_id] = replace(steps[call_id], status="completed", ended_at=at, duration_ms=duration)
        case e.ToolFailed(call_id=call_id, reason=reason, result=result, duration_ms=duration) if call_id in steps:
            error = RunError(reason, result.text)
            steps[call_id] = replace(steps[call_id], status="failed", error=error, ended_at=at, duration_ms=duration)
        case _:
            pass


def _attempt(failed: e.ModelRetrying) -> FailedAttempt:
    return FailedAttempt(
        model=f"{failed.provider}/{failed.model}" if failed.provider else failed.model,
        error=RunError(failed.code, failed.message),
        duration_ms=failed.duration_ms,
        next=failed.next or None,
        usage=usage_view(failed.usage) if failed.usage.total else None,
        cost_usd=failed.cost_usd,
    )
