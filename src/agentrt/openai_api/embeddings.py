"""`POST /v1/embeddings`: passed through to a provider that speaks OpenAI's dialect, recorded and priced as a run."""

import time
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response
from msgspec import Meta

from agentrt.events import RunFailed
from agentrt.kernel import Invalid, Principal
from agentrt.providers import ModelFailure
from agentrt.runs import EmbeddingRuns

from .decode import explained, malformed
from .failures import failure_of
from .headers import Headers, dollars

MOST_INPUTS = 2048


class EmbeddingBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is embedded: a text, texts, the tokens of a text, or of texts. More fields are handed on as they are."""

    model: str
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None


class Embedding(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    embedding: list[float] | str
    object: Literal["embedding"] = "embedding"


class EmbeddingUsage(msgspec.Struct, frozen=True, kw_only=True):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's answer. With `encoding_format: base64` an embedding is 32-bit floats, little-endian."""

    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
    object: Literal["list"] = "list"


class Embeddings:
    """Answers requests for embeddings."""

    def __init__(self, runs: EmbeddingRuns) -> None:
        self._runs = runs

    async def answer(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """The provider's own answer. Failures are AgentrtErrors with OpenAI's codes."""
        began = time.perf_counter()
        sent = Headers(request.scope["headers"])
        if sent.text(b"content-type").partition(";")[0].strip().lower() != "application/json":
            raise Invalid("Send the request as application/json.", code="unsupported_media_type")
        body, asked = read_embedding(await request.body())
        who: Principal = request.scope["state"]["who"]
        if body.user and not who.run:
            who = msgspec.structs.replace(who, user=body.user)
        try:
            run = await self._runs.embed(who, body.model, asked)
        except ModelFailure as exc:
            raise failure_of(RunFailed(code=exc.code, message=exc.message, retry_after_s=exc.retry_after_s)) from exc
        overhead_ms = (time.perf_counter() - began - run.outside_s) * 1000
        headers = {"x-run-id": run.run_id, "x-session-id": run.session_id, "x-agentrt-overhead-ms": f"{overhead_ms:.3f}"}
        if sent.text(b"idempotency-key"):
            headers["x-agentrt-ignored"] = "Idempotency-Key"  # no answer is kept that could be given again
        if (cost := run.spent.cost_usd) is not None:
            headers["x-agentrt-cost-usd"] = dollars(cost)
        return Response(run.body, headers=headers, media_type="application/json")


def read_embedding(raw: bytes) -> tuple[EmbeddingBody, dict[str, Any]]:
    """The request in these bytes, and all of it as it goes on. Invalid says what is wrong, `param` where."""
    try:
        asked = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise malformed(raw, exc) from exc
    if not isinstance(asked, dict):
        raise Invalid("The request body must be a JSON object.", code="invalid_type")
    try:
        body = msgspec.convert(asked, EmbeddingBody)
    except msgspec.ValidationError as exc:
        raise explained(str(exc), asked) from exc
    if not body.model:
        raise Invalid("You must provide a model.", code="missing_required_parameter", param="model")
    _check_input(body.input)
    return body, asked


def _check_input(given: str | list[Any]) -> None:
    if not given or (isinstance(given, list) and any(one == "" or one == [] for one in given)):
        raise Invalid("'input' must not be empty, nor hold anything empty.", code="invalid_value", param="input")
    if isinstance(given, str):
        return
    if len({type(one) for one in given}) > 1:
        message = "'input' must hold texts, tokens, or lists of tokens: all of one kind."
        raise Invalid(message, code="invalid_type", param="input")
    if not isinstance(given[0], int) and len(given) > MOST_INPUTS:
        raise Invalid(f"'input' holds at most {MOST_INPUTS} texts.", code="invalid_value", param="input")
