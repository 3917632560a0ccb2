"""Gives the agent a function that this program carries out, beside the tools that the agent has itself.

    python examples/clients/caller_tools.py

The server is at AGENTRT_URL (http://127.0.0.1:8080).
"""

import json
import os

from openai import OpenAI
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam

URL = os.environ.get("AGENTRT_URL", "http://127.0.0.1:8080")

WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def weather(city: str) -> str:
    return f"It rains in {city}."


def main() -> None:
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": 'use weather with {"city": "Oslo"}'}]
    with OpenAI(base_url=f"{URL}/v1", api_key="none is needed") as client:
        while True:
            choice = client.chat.completions.create(model="default", messages=messages, tools=[WEATHER]).choices[0]
            if choice.finish_reason != "tool_calls":
                print(choice.message.content)
                return
            messages.append(choice.message.model_dump(exclude_none=True))  # pyright: ignore[reportArgumentType]
            for call in choice.message.tool_calls or ():
                assert call.type == "function"
                result = weather(**json.loads(call.function.arguments))
                print(f"{call.function.name}({call.function.arguments}) → {result}")
                # the id leads back to the run, so the agent goes on from where it was, its own tools' results included
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


if __name__ == "__main__":
    main()
