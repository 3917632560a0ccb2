from typing import Any

from litestar import Request

from agentrt.kernel import Invalid


class JsonRequest(Request[Any, Any, Any]):
    """A request whose body is refused as Invalid also where the decoder gives up in other ways than saying so, or where it is
    declared as a form: what starts work is JSON by its own account."""

    async def json(self) -> Any:
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("", "application/json"):
            raise Invalid(f"the body must be application/json, not {kind[:64]}", code="unsupported_media_type")
        try:
            return await super().json()
        except RecursionError:
            raise Invalid("the request body is nested too deeply", code="invalid_json") from None
        except UnicodeDecodeError as exc:
            message = f"the request body is not valid JSON: it is not UTF-8 (byte {exc.start})"
            raise Invalid(message, code="invalid_json") from None
