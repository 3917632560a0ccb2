"""What the offline model can do out of the box: answer what people type first, with the tools they have."""

from .offline_rules import OfflineCall, OfflineRule

_NUMBER = r"(-?\d+(?:\.\d+)?)"
_SUM = r"([-+(\d][\d\s.()+*/^%-]*[-+*/^%][\d\s.()+*/^%-]*[\d)])"
_QUOTED = r"[\"'“‘]?(.+?)[\"'”’]?\s*$"
_PYTHON = r"\b(?:execute|run|eval(?:uate)?)\b[^:`]*\b(?:python|code|script)\b[^:`]*(?::|(?=`))\s*"
_SHELL = r"\b(?:execute|run)\b[^:`]*\b(?:shell|bash|terminal)\b[^:`]*(?::|(?=`))\s*"
_TIME = (
    r"\bwhat(?:'s| is)? the (?:current )?(?:time|date|day)\b|\bwhat time is it\b|\bwhat day is (?:it|today)\b"
    r"|\bcurrent (?:time|date)\b"
)

_NO_CODE = (
    "No code tool is on offer to this agent, so I cannot execute this. `agentrt doctor` says whether code can run on this "
    "machine, and what to do where it cannot; the agent's file must allow `execute_python` and `execute_bash` under `tools:`."
)

BUILT_IN = (
    # For load tests: a hundred chunks, at once or one every 20 ms.
    OfflineRule(model="load", reply="token " * 100, chunk=6),
    OfflineRule(model="load-slow", reply="token " * 100, chunk=6, delay_ms=20),
    OfflineRule(
        match=r"^\s*use (?:the )?([\w-]+)(?: tool)? with (\{.*\})\s*$",
        calls=(OfflineCall(tool=("{1}", "*__{1}", "*{1}*"), arguments="{2}"),),
        after_tools="The {1} tool answered: {results}",
        reply="No tool called {1} is on offer. These are: {tools}.",
    ),
    OfflineRule(
        match=rf"(?:\becho tool\b(?: to (?:say|repeat|echo))?|^\s*echo\b)\s*[:,]?\s*{_QUOTED}",
        calls=(OfflineCall(tool=("echo", "*__echo", "*echo*"), arguments=["{1}"]),),
        after_tools="The echo tool answered: {results}",
        reply="{1}\n\n(I said it myself: no echo tool is on offer to this agent.)",
    ),
    OfflineRule(
        match=rf"\badd\s+{_NUMBER}\s*(?:and|to|plus|with|\+|,)\s*{_NUMBER}",
        calls=(OfflineCall(tool=("add", "*__add"), arguments=["{1}", "{2}"]),),
        after_tools="{1} + {2} = {results}",
    ),
    OfflineRule(
        match=rf"\badd\s+{_NUMBER}\s*(?:and|to|plus|with|\+|,)\s*{_NUMBER}",
        calls=(OfflineCall(tool=("calculator", "*calculator*"), arguments=["{1} + {2}"]),),
        after_tools="{1} + {2} = {results}",
        reply="Neither an adding tool nor a calculator is on offer to this agent.",
    ),
    OfflineRule(
        match=_PYTHON + r"(?:```(?:python|py)?\s*\n(?P<block>(?s:.*?))```|`(?P<quoted>[^`]+)`|(?P<line>(?s:.+)))",
        calls=(OfflineCall(tool="*execute_python*", arguments={"code": "{block}{quoted}{line}"}),),
        after_tools="The code ran. Its result:\n\n{results}",
    ),
    OfflineRule(
        match=_PYTHON + rf"`*(?:python|py)?\s*print\(\s*{_SUM}\s*\)`*\s*$",
        calls=(OfflineCall(tool=("calculator", "*calculator*"), arguments=["{1}"]),),
        after_tools="No code tool is on offer to this agent, so nothing was executed. "
        "The calculator says that print({1}) shows {results}.",
    ),
    OfflineRule(
        match=_PYTHON,
        reply=_NO_CODE,
    ),
    OfflineRule(
        match=_SHELL + r"(?:```(?:\w+)?\s*\n(?P<block>(?s:.*?))```|`(?P<quoted>[^`]+)`|(?P<line>(?s:.+)))",
        calls=(OfflineCall(tool=("*execute_bash*", "*bash_execute*"), arguments={"command": "{block}{quoted}{line}"}),),
        after_tools="The command ran. Its result:\n\n{results}",
        reply=_NO_CODE,
    ),
    OfflineRule(
        match=_TIME,
        calls=(OfflineCall(tool=("clock", "*__clock", "*current_time*", "*clock*")),),
        after_tools="It is {results}.",
        reply="I cannot tell: no clock is on offer to this agent.",
    ),
    OfflineRule(
        match=rf"^\s*(?:(?:what(?:'s| is)|calculate|compute|evaluate|how much is)\s+)?{_SUM}\s*[=?.!]*\s*$",
        calls=(OfflineCall(tool=("calculator", "*calculator*", "*calculate*"), arguments=["{1}"]),),
        after_tools="{1} = {results}",
        reply="I cannot compute {1}: no calculator is on offer to this agent.",
    ),
    OfflineRule(match=r"\bcount (?:from )?(-?\d+)\s*(?:up |down )?to (-?\d+)", reply="{1..2}"),
    OfflineRule(match=r"^\s*say:? [\"'“]?hello[\"'”]?\s*[.!]?\s*$", reply="Hello! {about}"),
    OfflineRule(match=rf"^\s*(?:please )?say:? {_QUOTED}", reply="{1}"),
    OfflineRule(
        match=r"^\s*use (?:the )?([\w-]+) tool\b",
        calls=(OfflineCall(tool=("{1}", "*__{1}", "*{1}*")),),
        after_tools="The {1} tool answered: {results}",
        reply="No tool called {1} is on offer. These are: {tools}.",
    ),
    OfflineRule(
        match=r"\b(?:which|what|your) tools\b|\blist (?:the )?tools\b|\bwhat can you do\b", reply="On offer: {tools}. {about}"
    ),
    OfflineRule(match=r"^\s*(?:hello|hi|hey|good (?:morning|day|evening))\b", reply="Hello! {about}"),
    OfflineRule(
        reply="{about}\n\nNone of my rules fits what you wrote. Try “Use the echo tool to say: Hello”, “What is 2 + 2 * 3?” or "
        "“What time is it?”."
    ),
)
