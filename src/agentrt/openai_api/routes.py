from collections.abc import Sequence
from typing import Any

from litestar import get, post
from litestar.params import FromPath
from litestar.types import ASGIApp

from agentrt.http import problems

from .chat import Chat
from .models import ModelCard, ModelList, Shelf
from .schema import ChatOperation


def routes(chat: Chat, shelf: Shelf) -> Sequence[Any]:
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
    def list_models() -> ModelList:
        return shelf.list()

    @get(
        "/v1/models/{name:path}",
        sync_to_thread=False,
        operation_id="retrieveModel",
        summary="One agent or model",
        responses=problems({404: "No such model."}),
        tags=["openai"],
    )
    def retrieve_model(name: FromPath[str]) -> ModelCard:
        return shelf.get(name.removeprefix("/"))

    return (chat_completions, list_models, retrieve_model)
