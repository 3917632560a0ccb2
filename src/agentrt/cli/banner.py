"""What `agentrt serve` says once it listens."""

import json
import shlex
from collections.abc import Sequence

import click

# where the commands look for a server that nobody names
USUAL = "http://127.0.0.1:8080"


def banner(
    *,
    url: str,
    agent: str,
    model: str,
    why: str,
    data_dir: str,
    command: str = "agentrt",
    skipped: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> str:
    """The lines to show a person: where it listens, the default agent's model with the reason for it (and for each model
    that was `skipped`), where the data is, and commands to paste.

    `url` as a client on this machine would write it; `command` as it is typed to call agentrt; `model` as `provider/model`,
    empty where the agent has none; `why`, `skipped` and `warnings` are sentences.
    """
    body = json.dumps({"model": agent, "messages": [{"role": "user", "content": "Use the echo tool to say: Hello"}]})
    lines = [
        f"{click.style('agentrt', bold=True)} listens on {click.style(url, bold=True)}",
        f"  agent   {agent}{f' uses {model}' if model else ''}: {why}",
        *(f"          not {reason}" for reason in skipped),
        f"  data    {data_dir}",
        f"  docs    {url}/docs",
        *(click.style(f"  warning {warning}", fg="yellow") for warning in warnings),
        "",
        "Try it:",
        f"  curl {url}/v1/chat/completions -H 'content-type: application/json' -d {shlex.quote(body)}",
        f"  {command} chat{'' if url == USUAL else f' --url {url}'}",
    ]
    return "\n".join(lines)
