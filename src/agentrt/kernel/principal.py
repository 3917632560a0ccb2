import msgspec


class Principal(msgspec.Struct, frozen=True):
    """Who asks: every face that serves people takes one first and filters by `tenant`.

    `user` is the end user named by the caller (chat's `user`, the header `x-user-id`), empty where nobody is named.
    """

    tenant: str = "default"
    user: str = ""


SYSTEM = Principal()
