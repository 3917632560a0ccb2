import msgspec


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a workspace is. `session` is empty for one that all sessions of a user share."""

    tenant: str = "default"
    user: str = ""
    session: str = ""
    pool: str = "code"
