"""What `agentrt doctor` says of where code runs."""

import asyncio
from typing import Any

from agentrt.kernel import AgentrtError, Invalid
from agentrt.settings import Settings

from .checks import Check

PROBE_S = 15.0
BUILD = "agentrt image build"


async def containers(settings: Settings, health: dict[str, Any] | None) -> Check:
    """Whether code can run: as the running server sees it, else as it looks from here."""
    if not settings.enabled("containers"):
        return Check("containers", "note", "switched off (modules: containers)")
    if health is not None:
        return _seen((health.get("modules") or {}).get("containers") or {})
    from agentrt.configs import fit
    from agentrt.containers import ContainerOptions, Images, choose_engine

    try:
        options = fit(settings.containers, ContainerOptions, "containers")
    except Invalid as exc:
        return Check("containers", "fail", exc.message, "correct agentrt.yaml or AGENTRT_CONTAINERS__…")
    folder = settings.data_dir / "containers"
    try:
        async with asyncio.timeout(PROBE_S):
            engine = await choose_engine(options, folder)
            image = await Images(folder / "images", options, engine.name).newest()
    except (AgentrtError, TimeoutError) as exc:
        why = exc.message if isinstance(exc, AgentrtError) else f"the container engine gave no answer in {PROBE_S:.0f} s"
        return Check("containers", "note" if options.engine in ("auto", "none") else "warn", f"no code runs here: {why}")
    if image is None:
        return Check("containers", "note", f"{engine.name} answers, but there is no image to run code on", BUILD)
    return Check("containers", "ok", f"{engine.name} answers, code runs on {image}")


def _seen(module: dict[str, Any]) -> Check:
    status, detail = module.get("status"), module.get("detail") or {}
    if not isinstance(detail, dict):
        return Check("containers", "note", str(detail))
    if not detail.get("engine"):
        return Check("containers", "note" if status in ("off", "starting") else "warn", str(detail.get("reason") or status))
    image = detail.get("image")
    said = f"{detail['engine']} {detail.get('version') or ''}, {'image ready' if image == 'ready' else image}"
    if reason := detail.get("reason"):
        return Check("containers", "warn", f"{said}: {reason}")
    return Check("containers", "ok" if status == "ok" else "note", said)
