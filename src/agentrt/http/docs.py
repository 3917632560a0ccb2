"""`/docs`: the OpenAPI description as a page, with nothing from elsewhere."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from litestar import Response, get

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_FILES = {
    "/docs": ("index.html", "text/html"),
    "/docs/page.js": ("page.js", "text/javascript"),
    "/docs/page.css": ("page.css", "text/css"),
}


def docs_routes() -> Sequence[Any]:
    """The page, its script and its style."""
    return [_file(path, name, media_type) for path, (name, media_type) in _FILES.items()]


def _file(path: str, name: str, media_type: str) -> Any:
    content = files("agentrt.http").joinpath("page", name).read_bytes()

    @get(path, include_in_schema=False, sync_to_thread=False, name=f"docs {name}")
    def serve_file() -> Response[bytes]:
        return Response(content, media_type=media_type, headers=_HEADERS)

    return serve_file
