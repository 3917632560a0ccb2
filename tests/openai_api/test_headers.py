import pytest

from agentrt.agents import SessionRule
from agentrt.kernel import Invalid
from agentrt.openai_api.headers import Headers, header_list

ALL = SessionRule(sources=("header", "metadata", "user"))
CHOSEN, ALIAS, CHAT = (b"x-session-id", b"s1"), (b"x-conversation-id", b"s2"), (b"x-openwebui-chat-id", b"s4")


@pytest.mark.parametrize(
    ("headers", "metadata", "user", "found"),
    [
        ([CHOSEN, ALIAS, CHAT], {"session_id": "s3"}, "ada", ("s1", "header")),
        ([ALIAS, CHAT], {"session_id": "s3"}, "ada", ("s2", "header")),
        ([CHAT], {"session_id": "s3"}, "ada", ("s3", "metadata")),
        ([CHAT], {}, "ada", ("s4", "header")),
        ([], {}, "ada", ("ada", "user")),
        ([], {}, "", (None, "header")),
        ([(b"x-session-id", b" ")], {"other": "x"}, "", (None, "header")),
    ],
)
def test_a_session_is_looked_for_where_the_conventions_say(headers, metadata, user, found):
    assert Headers(headers).session(ALL, metadata, user) == found


def test_an_agents_rule_says_where_and_in_which_order():
    assert Headers([CHOSEN]).session(SessionRule(), {}, "ada") == ("s1", "header")
    assert Headers([]).session(SessionRule(), {}, "ada") == (None, "header")
    only_metadata = SessionRule(sources=("metadata",))
    assert Headers([CHOSEN, CHAT]).session(only_metadata, {}, "ada") == (None, "header")
    turned = SessionRule(sources=("metadata", "header"))
    assert Headers([CHOSEN]).session(turned, {"session_id": "s3"}, "") == ("s3", "metadata")


def test_names_of_parameters_cannot_smuggle_anything_into_a_header():
    assert header_list(["seed", "seed", "messages[].cache_control"]) == b"seed, messages[].cache_control"
    assert header_list(["a\r\nset-cookie: x", "é,b"]) == b"a??set-cookie??x, ??b"
    assert len(header_list(["x" * 100 + str(n) for n in range(500)])) < 3000
    assert header_list(str(n) for n in range(500)).endswith(b", ...")


def test_what_happens_on_a_hang_up_is_one_of_two_words():
    assert Headers([(b"x-on-disconnect", b"Continue")]).goes_on_alone
    assert not Headers([]).goes_on_alone
    with pytest.raises(Invalid):
        _ = Headers([(b"x-on-disconnect", b"maybe")]).goes_on_alone
