"""`agentrt chat`: a conversation in the terminal, through the OpenAI SDK like any other client's."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from .client import Server
from .flags import SERVER, flags, read_settings
from .private import any_server
from .screen import Screen
from .terminal import note, status

if TYPE_CHECKING:
    from openai import OpenAI, Stream
    from openai.types.chat import ChatCompletionChunk

HELP = """/new      begin a new session
/agent X  talk to agent X from now on
/model M  use another model (PROVIDER/MODEL; nothing: the agent's own)
/exit     leave (also Ctrl-D)
A line that ends with \\ goes on on the next one; so does everything between two lines of \"\"\". Ctrl-C stops an answer."""
FENCE = '"""'


@click.command()
@click.option("--agent", default="agent", metavar="NAME", help="The agent to talk to [the default one].")
@click.option("--model", metavar="MODEL", help="Another model than the agent's, as PROVIDER/MODEL.")
@click.option("--session", metavar="ID", help="The session to go on with.")
@flags("url", *SERVER)
@click.pass_context
def chat(ctx: click.Context, agent: str, model: str | None, session: str | None, **said: Any) -> None:
    """Talk to an agent in the terminal: answers stream, tools are shown, the conversation is kept.

    Where standard input is no terminal, every line of it is one message.
    """
    with any_server(read_settings(said), said) as server:
        talk = Conversation(server, agent, model, session)
        if sys.stdin.isatty():
            import readline  # noqa: F401  # arrow keys and history while typing

            note(f"Talking to {talk.name}{_default_model(server, talk.name)}. /help shows what else can be typed, /exit leaves.")
        for message in _messages():
            if not message.startswith("/"):
                talk.turn(message)
            elif not _obey(message, talk):
                break
        ctx.exit(0 if talk.well else 1)


class Conversation:
    """One session after another with one agent after another. `well` is whether the last answer came."""

    def __init__(self, server: Server, agent: str, model: str | None, session: str | None) -> None:
        self._server, self._session = server, session
        self.agent, self.model = agent, model
        self.well = True
        self._sdk: OpenAI | None = None

    @property
    def name(self) -> str:
        return f"{self.agent}:{self.model}" if self.model else self.agent

    def restart(self) -> None:
        self._session = None

    def turn(self, message: str) -> None:
        """Send one message and show the answer; Ctrl-C stops it, an error is shown and the conversation goes on."""
        import openai

        screen, self.well = Screen(), False
        try:
            with status("thinking"):
                stream = self._ask(message)
            with stream:
                for chunk in stream:
                    _show(chunk, screen)
            screen.finish()
            self.well = screen.ended is None or screen.ended["type"] == "run_completed"
        except KeyboardInterrupt:
            # leaving the stream hung up, which cancels the run and its model call
            screen.finish()
            note("stopped")
        except openai.APIError as exc:
            screen.finish()
            click.echo(f"Error: {_sentence(exc, self._server.url)}", err=True)

    def _ask(self, message: str) -> "Stream[ChatCompletionChunk]":
        if self._session is None:
            self._session = self._server.post("/sessions")["id"]
        return self._client().chat.completions.create(
            model=self.name,
            messages=[{"role": "user", "content": message}],
            stream=True,
            extra_headers={"X-Session-Id": self._session, "X-Agentrt-Events": "true"},
        )

    def _client(self) -> "OpenAI":
        if self._sdk is None:
            from openai import OpenAI  # 0.7 s, which the first answer waits for and `agentrt --help` does not

            self._sdk = OpenAI(base_url=f"{self._server.url}/v1", api_key="unused", max_retries=0)
        return self._sdk


def _default_model(server: Server, name: str) -> str:
    """The model behind the default agent, in brackets; nothing for others."""
    default = (server.health() or {}).get("default_agent") or {}
    return f" ({default['model']})" if name in ("agent", default.get("name")) and default.get("model") else ""


def _show(chunk: "ChatCompletionChunk", screen: Screen) -> None:
    event = (chunk.model_extra or {}).get("agentrt")
    if isinstance(event, dict) and event.get("type") != "text_delta":
        screen.show(event)
    for choice in chunk.choices:
        if choice.delta.content:
            screen.text(choice.delta.content)


def _sentence(exc: Any, url: str) -> str:
    body = exc.body
    if isinstance(body, dict) and body.get("message"):
        return str(body["message"])
    status_code = getattr(exc, "status_code", None)
    return f"the server answered {status_code}" if status_code else f"the connection to {url} broke: {exc.message}"


def _messages() -> Iterator[str]:
    """What is typed, message by message, to the end of input. Empty ones are passed over; Ctrl-C throws the line away."""
    while True:
        try:
            message = _read_message()
        except KeyboardInterrupt:
            click.echo(err=True)
            continue
        except EOFError:
            if sys.stdin.isatty():
                click.echo(err=True)
            return
        if message.strip():
            yield message.strip()


def _read_message() -> str:
    line = _read_line("> ")
    if line.strip() == FENCE:
        lines: list[str] = []
        while (line := _read_line(". ")).strip() != FENCE:
            lines.append(line)
        return "\n".join(lines)
    lines = [line]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        lines.append(_read_line(". "))
    return "\n".join(lines)


def _read_line(prompt: str) -> str:
    return input(prompt if sys.stdin.isatty() else "")


def _obey(typed: str, talk: Conversation) -> bool:
    """Carry out a line that begins with a slash; False where it says to leave."""
    word, _, rest = typed.partition(" ")
    match word:
        case "/exit" | "/quit" | "/bye":
            return False
        case "/new":
            talk.restart()
            note("a new session")
        case "/agent" if rest:
            talk.agent = rest.strip()
            note(f"talking to {talk.name}")
        case "/model":
            talk.model = rest.strip() or None
            note(f"talking to {talk.name}")
        case _:
            note(HELP)
    return True
