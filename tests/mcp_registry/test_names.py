import re

from agentrt.mcp_registry.names import slugs, tool_ids


def test_ordinary_names_stay_as_they_are() -> None:
    assert slugs(["echo", "my-files"]) == {"echo": "echo", "my-files": "my-files"}
    assert tool_ids("echo", ["add", "read_file"]) == {"add": "echo__add", "read_file": "echo__read_file"}


def test_every_id_is_one_that_models_accept_and_none_is_shared() -> None:
    servers = ["a", "a_", "a b", "a.b", "A__B", "日本", "", "x" * 90]
    tools = ["b", "_b", "read.file", "read_file", "read file", "日本", "日木", "y" * 100, "y" * 101]
    named = slugs(servers)
    ids = [ident for slug in named.values() for ident in tool_ids(slug, tools).values()]
    assert len(set(ids)) == len(servers) * len(tools)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", ident) for ident in ids)
    assert all(ident.partition("__")[0] in named.values() for ident in ids)


def test_a_name_that_needed_no_change_keeps_its_id_whatever_comes_beside_it() -> None:
    alone = tool_ids("fs", ["read_file"])
    beside = tool_ids("fs", ["read.file", "read_file"])
    assert beside["read_file"] == alone["read_file"] == "fs__read_file"
    assert re.fullmatch(r"fs__read_file_[0-9a-f]{8}", beside["read.file"])


def test_the_order_of_tools_does_not_matter() -> None:
    tools = ["a.b", "a b", "a:b"]
    assert tool_ids("s", tools) == tool_ids("s", tools[::-1])
