from threading import Thread

from agentrt.kernel import one_import_at_a_time


def test_who_imports_is_alone_and_may_import_more() -> None:
    order: list[str] = []

    def first() -> str:
        other = Thread(target=one_import_at_a_time, args=(order.append, "second"), daemon=True)
        other.start()
        other.join(0.2)  # it would have ended by now
        one_import_at_a_time(order.append, "first")
        others.append(other)
        return "loaded"

    others: list[Thread] = []
    assert one_import_at_a_time(first) == "loaded"
    others[0].join(30)
    assert order == ["first", "second"]
