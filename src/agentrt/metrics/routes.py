from collections.abc import Callable
from typing import Any

from litestar import Response, get

from .exposition import CONTENT_TYPE


def metrics_route(read: Callable[[], bytes]) -> Any:
    """The handler of `/metrics`."""

    @get(
        "/metrics",
        sync_to_thread=True,
        media_type="text/plain",
        tags=["server"],
        summary="Numbers for Prometheus",
        operation_id="metrics",
    )
    def metrics() -> Response[bytes]:
        """Counted since the server started; never an id as a label."""
        return Response(read(), media_type=CONTENT_TYPE)

    return metrics
