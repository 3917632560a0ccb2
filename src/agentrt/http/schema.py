from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from agentrt import __version__


def openapi() -> OpenAPIConfig:
    """`/schema/openapi.json`."""
    return OpenAPIConfig(
        title="agentrt",
        version=__version__,
        description="A self-hosted agent runtime: runs, sessions, tool servers, and OpenAI's chat API.",
        path="/schema",
        render_plugins=[JsonRenderPlugin()],
        use_handler_docstrings=True,
    )
