"""How code inside finds its way out: by the variables that ordinary SDKs and tools read."""

from agentrt.agents import SandboxRule

from .table import GATEWAY

PORT = 17080
"""Of the box's own loopback; the server itself answers there, on a socket that the runner made inside and handed out."""

_DUMMY = "added-outside"


def environment(rule: SandboxRule) -> dict[str, str]:
    """The variables of code that runs by this rule; none where it reaches nothing. Keys are dummies: real ones are added
    outside. `NAME_BASE_URL` is set for each upstream; OpenAI's is the model gateway where the rule has it."""
    if not (rule.upstreams or rule.hosts or rule.models):
        return {}
    proxy = f"http://127.0.0.1:{PORT}"
    env = {"AGENTRT_PROXY": proxy}
    for name in rule.upstreams:
        prefix = "".join(c if c.isalnum() else "_" for c in name.upper())
        # that SDK alone expects the version in its address
        env[f"{prefix}_BASE_URL"] = f"{proxy}/{name}/v1" if name == "openai" else f"{proxy}/{name}"
        env[f"{prefix}_API_KEY"] = _DUMMY
    if rule.models:
        env |= {"OPENAI_BASE_URL": f"{proxy}/{GATEWAY}", "OPENAI_API_KEY": _DUMMY}
    if rule.hosts:
        env |= dict.fromkeys(("HTTPS_PROXY", "https_proxy"), proxy)
        env |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    return env


def base_url(name: str) -> str:
    """Where code inside reaches an upstream."""
    return f"http://127.0.0.1:{PORT}/{name}"
