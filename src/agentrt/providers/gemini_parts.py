"""The parts of a Gemini answer, and which of them its next turn wants back as they came. Pure."""

import msgspec


class Call(msgspec.Struct, gc=False):
    name: str = ""
    args: msgspec.Raw = msgspec.Raw(b"")
    id: str | None = None


class Code(msgspec.Struct, gc=False):
    code: str = ""
    language: str = ""


class CodeResult(msgspec.Struct, gc=False):
    outcome: str = ""
    output: str = ""


class Blob(msgspec.Struct, rename="camel", gc=False):
    mime_type: str = ""
    data: str = ""


class Part(msgspec.Struct, rename="camel", gc=False):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: Call | None = None
    executable_code: Code | None = None
    code_execution_result: CodeResult | None = None
    inline_data: Blob | None = None

    @property
    def is_code(self) -> bool:
        return self.executable_code is not None or self.code_execution_result is not None

    @property
    def shown(self) -> str:
        """What a reader sees of it as text: the model's words, and code that it ran as a fenced block."""
        if self.executable_code is not None:
            return _fenced(self.executable_code.code, _language(self.executable_code.language))
        if self.code_execution_result is not None:
            return _fenced(self.code_execution_result.output or self.code_execution_result.outcome)
        return "" if self.thought else self.text or ""


class CallExtras(msgspec.Struct, rename="camel", omit_defaults=True):
    """What a call carries beside its name and arguments, kept in `ToolCall.opaque`."""

    id: str = ""
    thought_signature: str = ""


decode_part = msgspec.json.Decoder(Part).decode
decode_extras = msgspec.json.Decoder(CallExtras).decode


def _language(named: str) -> str:
    return "" if named in ("", "LANGUAGE_UNSPECIFIED") else named.lower()


def _fenced(text: str, language: str = "") -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"\n{fence}{language}\n{text.rstrip()}\n{fence}\n"
