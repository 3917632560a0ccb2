from collections.abc import Sequence
from typing import Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ASGIApp

from agentrt.http import problems
from agentrt.kernel import Principal
from agentrt.runs import RunService

from .capabilities import Capabilities, Inventory, plain_path
from .chat import Chat
from .embeddings import Embeddings
from .models import ModelCard, ModelList, Shelf
from .schema import ChatOperation, EmbeddingOperation


def routes(chat: Chat, shelf: Shelf, embeddings: Embeddings, inventory: Inventory) -> Sequence[Any]:
    """The handlers of `/v1`. That of the chat only names the application that does the work: no argument, no parsing."""

    @post(
        "/v1/chat/completions",
        status_code=200,
        sync_to_thread=False,
        operation_class=ChatOperation,
        operation_id="createChatCompletion",
        summary="Chat with an agent",
        tags=["openai"],
    )
    def chat_completions() -> ASGIApp:
        return chat

    @get("/v1/models", sync_to_thread=False, operation_id="listModels", summary="Agents and models", tags=["openai"])
    def list_models(runs: NamedDependency[RunService], who: NamedDependency[Principal]) -> ModelList:
        asking = runs.agent_of_children(who)
        return shelf.list() if asking is None else shelf.of_agent(asking)

    @get(
        "/v1/models/{name:path}",
        operation_id="retrieveModel",
        summary="One agent or model",
        responses=problems({404: "No such model."}),
        tags=["openai"],
    )
    async def retrieve_model(
        name: FromPath[str], runs: NamedDependency[RunService], who: NamedDependency[Principal]
    ) -> ModelCard:
        asking, name = runs.agent_of_children(who), name.removeprefix("/")
        return await (shelf.get(name) if asking is None else shelf.get_of_agent(asking, name))

    @post(
        "/v1/embeddings",
        status_code=200,
        operation_class=EmbeddingOperation,
        operation_id="createEmbedding",
        summary="Embed texts",
        tags=["openai"],
    )
    async def create_embedding(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await embeddings.answer(request)

    @get("/v1/capabilities", operation_id="listCapabilities", summary="Surfaces, parameters and models", tags=["openai"])
    async def list_capabilities(request: Request[Any, Any, Any]) -> Capabilities:
        return await inventory.take({plain_path(route.path) for route in request.app.routes})

    return (chat_completions, create_embedding, list_capabilities, list_models, retrieve_model)
