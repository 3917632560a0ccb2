import msgspec

from agentrt.agents import SandboxRule
from agentrt.kernel import Principal


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What the code of one box may reach, and for whom. `run_id` is the run that executes something in it now, empty between
    executions; `session` is whose budgets are counted over boxes: one that comes after another begins none anew."""

    who: Principal
    rule: SandboxRule = SandboxRule()
    run_id: str = ""
    session: str = ""
