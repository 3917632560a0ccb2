"""The official SDK as the oracle of requests: what its types can say, ours can read."""

from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from openai.types import chat
from openai.types.chat import chat_completion_content_part_image_param as images
from openai.types.chat import chat_completion_content_part_param as parts
from openai.types.chat import completion_create_params
from openai.types.shared import ReasoningEffort
from openai.types.shared_params import FunctionDefinition

from agentrt.openai_api import body as b


def said(of: Any) -> set[str]:
    return set(get_type_hints(of))


def read(of: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(of)} | {of.__struct_config__.tag_field or ""}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (completion_create_params.CompletionCreateParamsStreaming, b.ChatBody),
        (chat.ChatCompletionStreamOptionsParam, b.StreamOptions),
        (chat.ChatCompletionSystemMessageParam, b.WireMessage),
        (chat.ChatCompletionDeveloperMessageParam, b.WireMessage),
        (chat.ChatCompletionUserMessageParam, b.WireMessage),
        (chat.ChatCompletionAssistantMessageParam, b.WireMessage),
        (chat.ChatCompletionToolMessageParam, b.WireMessage),
        (chat.ChatCompletionMessageFunctionToolCallParam, b.WireCall),
        (chat.ChatCompletionContentPartTextParam, b.TextPart),
        (chat.ChatCompletionContentPartRefusalParam, b.RefusalPart),
        (chat.ChatCompletionContentPartImageParam, b.ImagePart),
        (images.ImageURL, b.ImageSource),
        (chat.ChatCompletionContentPartInputAudioParam, b.AudioPart),
        (parts.File, b.FilePart),
        (parts.FileFile, b.FileSource),
        (chat.ChatCompletionFunctionToolParam, b.WireTool),
        (FunctionDefinition, b.FunctionDef),
    ],
    ids=lambda of: of.__name__,
)
def test_every_field_that_the_sdk_can_send_is_known(theirs: Any, ours: type[msgspec.Struct]) -> None:
    assert said(theirs) <= read(ours)


def test_every_word_of_the_sdk_is_known_where_only_some_are_taken() -> None:
    types = {field.encode_name: field.type for field in msgspec.structs.fields(b.ChatBody)}

    def words(of: Any) -> set[str]:
        return {word for part in get_args(of) for word in (get_args(part) or (part,)) if isinstance(word, str)}

    assert words(ReasoningEffort) <= words(types["reasoning_effort"])
    verbosity = get_type_hints(completion_create_params.CompletionCreateParamsBase)["verbosity"]
    assert words(verbosity) <= words(types["verbosity"])
    (detail,) = (field.type for field in msgspec.structs.fields(b.ImageSource) if field.name == "detail")
    assert set(get_args(get_type_hints(images.ImageURL)["detail"])) <= words(detail)
