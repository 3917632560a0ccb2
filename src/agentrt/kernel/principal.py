import msgspec


class Principal(msgspec.Struct, frozen=True):
    """Who asks: every face that serves people takes one first and filters by `tenant`.

    `user` is the end user named by the caller (chat's `user`, the header `x-user-id`), empty where nobody is named.
    `run` is the run whose code asks, from inside its container: what it begins is a child of that run, on its budget.
    """

    tenant: str = "default"
    user: str = ""
    run: str = ""


SYSTEM = Principal()
