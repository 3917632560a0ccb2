"""Every mistake in a file is answered with its place, what is wrong, and what to type instead."""

import os
import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest

from agentrt.agents import AgentSpec
from agentrt.configs import BadDocument, Kind, fit, load, parse, scan
from agentrt.kernel import Invalid
from fixtures.nobody import as_nobody


class Server(msgspec.Struct, forbid_unknown_fields=True):
    command: str
    retries: int = 0


class Servers(msgspec.Struct, forbid_unknown_fields=True):
    servers: dict[str, Server] = {}


def problems(text: str | bytes, type_: type = AgentSpec) -> list[str]:
    with pytest.raises(BadDocument) as caught:
        parse(text, type_, "a.yaml")
    return [str(problem) for problem in caught.value.problems]


ONE_MISTAKE = {
    "name: [a\n": "2:1: did not find expected ',' or ']' (while parsing a flow sequence that began at line 1)",
    "name: a: b\n": "1:8: a second `:` cannot stand here: put the text in quotes, or correct the indentation",
    "budgets:\n\tsteps: 3\n": "2:1: this character cannot stand here: put the value in quotes, and indent with spaces, not tabs",
    "prompt: |\n\tHello\n": "2:1: a tab cannot indent YAML: use spaces",
    "name: @me\n": "1:7: this character cannot stand here: put the value in quotes, and indent with spaces, not tabs",
    "name: *base\n": "1:7: found undefined alias",
    "name: a\nname: b\n": "2:1: duplicate key 'name' (first at line 1) at $",
    "name: a\nbudgets:\n  steps: 1\n  steps: 2\n": "4:3: duplicate key 'steps' (first at line 3) at $.budgets",
    "name: a\n---\nname: b\n": "2:1: a file holds one document: put what follows `---` into a file of its own",
    "name: a\nmetadata: &m [*m]\n": "2:11: an anchor cannot contain itself at $.metadata[0]",
    "name: a\nmetadata: {? [x] : y}\n": "2:14: a key must be a word, not a list at $.metadata",
    "name: a\nprompt: {{ model }}\n": "2:10: a text that begins with a brace must stand in quotes, or below `|` at $.prompt",
    "name: a\n<<: 3\n": "2:5: `<<` takes a mapping, or a list of mappings at $",
    "name: !!python/object x\n": "1:7: the tag !!python/object is not supported at $.name",
    "name: a\nmetadata: {far: 1e999}\n": "2:17: '1e999' cannot be read as float at $.metadata.far",
    "name: a\x01\n": "1:8: the character 0x0001 is not allowed in YAML",
    "": "1:1: the document is empty: missing required field 'name' at $",
    "# nothing but this\n": "1:1: the document is empty: missing required field 'name' at $",
    "description: x\n": "1:1: missing required field 'name' at $",
    "- name: a\n": "1:1: expected `object`, got `array` at $",
    "hello\n": "1:1: expected `object`, got `str` at $",
    "name: a b\n": "1:7: 'a b' does not match ^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$ at $.name",
    "name: 12\n": "1:7: expected `str`, got `int` (put it in quotes) at $.name",
    "name: a\nprompt:\n": "2:8: expected `str`, got `null` (give it a value, or remove the line) at $.prompt",
    "name: a\naliases: b\n": "2:10: expected `array`, got `str` (write a list: put it in [ ]) at $.aliases",
    "name: a\nmodel: []\n": "2:8: expected `array` of length >= 1 at $.model",
    "name: a\nmodel: [1]\n": "2:9: expected `str | object`, got `int` (put it in quotes) at $.model[0]",
    "name: a\nbudgets: {steps: 0}\n": "2:18: expected `int` >= 1, got 0 at $.budgets.steps",
    "name: a\nbudgets: {steps: '3'}\n": "2:18: expected `int | null`, got `str` (remove the quotes) at $.budgets.steps",
    "name: a\nparameters:\n  parallel_tool_calls: yes\n": (
        "3:24: expected `bool | null`, got `str` (write true) at $.parameters.parallel_tool_calls"
    ),
    "name: a\nlogging: warn\n": (
        "2:10: 'warn' is not one of 'debug', 'error', 'info', 'warning' (did you mean 'warning'?) at $.logging"
    ),
    "name: a\nbudgets:\n  tokns: 3\n": "3:3: unknown field 'tokns' (did you mean 'tokens'?) at $.budgets",
    "name: a\ntools:\n  - clock\n  - match: x\n    efect: read\n": (
        "5:5: unknown field 'efect' (did you mean 'effect'?) at $.tools[1]"
    ),
    "name: a\nexamples:\n  - role: user\n": "3:5: missing required field 'content' at $.examples[0]",
    "name: a\nretry: {zzz: 1}\n": "2:9: unknown field 'zzz'; known are attempts, backoff at $.retry",
}


@pytest.mark.parametrize(("text", "said"), ONE_MISTAKE.items(), ids=lambda value: value[:30].strip() or "empty")
def test_a_mistake_is_named_with_its_place(text: str, said: str) -> None:
    assert problems(text) == [f"a.yaml:{said}"]


def test_all_mistakes_of_a_file_are_named_at_once() -> None:
    text = "nam: a\nmode: quick\nbudgets:\n  steps: none\nexamples:\n  - rol: user\n    content: hi\nqqq: 1\n"
    assert [line.partition(": ")[0] + " " + line.partition(": ")[2].partition(";")[0] for line in problems(text)] == [
        "a.yaml:1:1 unknown field 'nam' (did you mean 'name'?) at $",
        "a.yaml:2:7 'quick' is not one of 'autonomous', 'interactive' at $.mode",
        "a.yaml:4:10 expected `int | null`, got `str` at $.budgets.steps",
        "a.yaml:6:5 unknown field 'rol' (did you mean 'role'?) at $.examples[0]",
        "a.yaml:8:1 unknown field 'qqq'",
    ]


def test_no_more_than_twenty_mistakes_are_named() -> None:
    assert len(problems("name: a\n" + "".join(f"unknown_{i}: 1\n" for i in range(50)))) == 20


def test_the_bad_entry_of_a_mapping_is_found_though_its_key_is_free() -> None:
    text = "servers:\n  good: {command: a}\n  bad one: {command: b, retries: many}\n  worse: {cmmand: c}\n"
    assert problems(text, Servers) == [
        "a.yaml:3:34: expected `int`, got `str` at $.servers['bad one'].retries",
        "a.yaml:4:11: unknown field 'cmmand' (did you mean 'command'?) at $.servers.worse",
    ]


def test_a_document_without_required_fields_may_be_empty() -> None:
    assert parse("# no server yet\n", Servers, "a.yaml").value == Servers()


def test_what_looks_like_a_word_is_a_word() -> None:
    text = "name: on\nmetadata: {a: yes, b: 2026-01-31, c: 12:30, d: 1_000, e: 012, f: true, g: 0x1F, h: 1e3, i: ~}\n"
    spec = parse(text, AgentSpec, "a.yaml").value
    assert spec.name == "on"
    assert spec.metadata == {
        **{"a": "yes", "b": "2026-01-31", "c": "12:30", "d": "1_000", "e": "012"},
        **{"f": True, "g": 31, "h": 1000.0, "i": None},
    }


def test_anchors_and_merge_keys_work_and_the_nearer_value_wins() -> None:
    text = "name: a\nmetadata:\n  base: &base {x: 1, y: 2}\n  mine: {<<: *base, y: 3}\n  twin: *base\n"
    assert parse(text, AgentSpec, "a.yaml").value.metadata == {
        "base": {"x": 1, "y": 2},
        "mine": {"x": 1, "y": 3},
        "twin": {"x": 1, "y": 2},
    }


def test_json_is_read_too_with_tabs_and_with_characters_in_two_halves() -> None:
    text = '{\n\t"name": "a",\n\t"description": "\\ud83d\\ude00 \\u00e9 \\\\ud83d"\n}\n'
    assert parse(text, AgentSpec, "a.json").value.description == "\U0001f600 é \\ud83d"


def test_a_byte_order_mark_is_skipped_and_other_encodings_are_refused() -> None:
    assert parse(b"\xef\xbb\xbfname: a\n", AgentSpec, "a.yaml").value.name == "a"
    assert problems("name: a\nprompt: caf\xe9".encode("latin-1")) == [
        "a.yaml:2:12: the file is not UTF-8: byte 0xe9 cannot be read"
    ]
    assert problems("é: \x01") == ["a.yaml:1:4: the character 0x0001 is not allowed in YAML"]


def test_files_made_to_exhaust_the_server_are_refused() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 8)
    )
    assert "the document expands to more than 100,000 values" in problems(bomb)[0]
    assert problems("[" * 100_000) == ["a.yaml:1:65: the nesting is deeper than 64 levels"]
    assert problems("#" * 1_000_001) == ["a.yaml:1:1: the file is larger than 1,000,000 bytes"]
    assert "cannot be read as int" in problems("name: " + "9" * 10_000)[0]


def test_a_file_that_cannot_be_read_is_a_problem_like_any_other(tmp_path: Path) -> None:
    kind = Kind(name="servers", type=Servers, paths=(tmp_path,))
    with pytest.raises(BadDocument) as caught:
        load(kind, tmp_path / "gone.yaml", "gone.yaml")
    assert str(caught.value) == "gone.yaml:1:1: the file cannot be read: No such file or directory"


class Pool(msgspec.Struct, forbid_unknown_fields=True):
    size: int = 1
    names: tuple[str, ...] = ()


def test_data_of_the_settings_may_be_text_and_every_part_that_does_not_fit_is_named() -> None:
    assert fit({"a": {"size": "3", "names": "x, y"}}, dict[str, Pool], "pools") == {"a": Pool(3, ("x", "y"))}
    with pytest.raises(Invalid) as refused:
        fit({"a": {"size": "many"}, "b": {"nmaes": ["x"]}}, dict[str, Pool], "pools")
    assert refused.value.code == "invalid_settings"
    assert sorted(refused.value.message.splitlines()) == [
        "pools.a.size in the settings: expected `int`, got `str`",
        "pools.b in the settings: unknown field 'nmaes' (did you mean 'names'?)",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_may_not_be_looked_into_is_a_problem_like_any_other() -> None:
    folder = Path(tempfile.mkdtemp())
    (folder / "agents").mkdir()
    (folder / "agents" / "a.yaml").write_text("name: a\n")
    try:
        for place, why in ((folder / "agents", "it cannot be read: permission denied"), (folder, "the folder cannot be read")):
            with as_nobody():
                found = scan(Kind(name="agents", type=AgentSpec, paths=(place,)), {})
            assert [problem.message for problem in found.problems] == [why]
    finally:
        shutil.rmtree(folder)
