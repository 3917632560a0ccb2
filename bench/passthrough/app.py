"""What one writes by hand in place of agentrt: FastAPI and AsyncOpenAI, passing on what comes. Stores nothing, calls no tool."""

import os
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request  # pyright: ignore[reportMissingImports]
from fastapi.responses import StreamingResponse  # pyright: ignore[reportMissingImports]
from openai import AsyncOpenAI

app = FastAPI()
client = AsyncOpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"])


@app.get("/health")
async def health() -> dict[str, bool]:
    return {"ok": True}


@app.post("/v1/chat/completions")
async def chat(request: Request) -> Any:
    body = await request.json()
    if not body.get("stream"):
        completion = await client.chat.completions.create(**body)
        return completion.model_dump()
    stream = await client.chat.completions.create(**body)

    async def events() -> AsyncIterator[str]:
        async for chunk in stream:
            yield f"data: {chunk.model_dump_json()}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")
