from functools import cache
from typing import Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from agentrt.kernel import Invalid


async def known_query(request: Request[Any, Any, Any]) -> None:
    """For `before_request` of handlers that take query parameters: Invalid for one that they do not know, or that is there twice.

    Who asks for `?stauts=failed` must not be answered as if all runs had failed.
    """
    if not request.scope["query_string"] or not (known := _known(request.scope["route_handler"])):
        return
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            why = f"there is no query parameter {name[:64]!r} here; there are: {', '.join(known)}"
            raise Invalid(why, param=name[:64], code="unknown_parameter")
        if names.count(name) > 1:
            raise Invalid(f"the query parameter {name!r} is there twice", param=name, code="repeated_parameter")


@cache
def _known(handler: HTTPRouteHandler) -> tuple[str, ...]:
    fields = handler.parsed_fn_signature.parameters.values()
    told = [(field.name, field.kwarg_definition) for field in fields]
    return tuple(sorted(kwarg.name or name for name, kwarg in told if isinstance(kwarg, QueryParameter)))
