"""Skills as operators write them and agents use them."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from agentrt.agents import AgentSpec
from agentrt.kernel import SYSTEM, share
from agentrt.messages import ToolCall
from agentrt.skills import Skills, SkillsModule, find_skills, load_skill
from agentrt.tools import CallContext

ALL = AgentSpec(name="coder", skills=("*",))


def write_skill(folder: Path, text: str = "---\nname: {name}\ndescription: About {name}.\n---\nDo it.\n") -> Path:
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(text.replace("{name}", folder.name))
    return folder


@pytest.fixture
def skills(tmp_path: Path) -> Skills:
    write_skill(tmp_path / "shared" / "alpha")
    write_skill(tmp_path / "shared" / "beta")
    return Skills(tmp_path / "shared", tmp_path / "agents", tmp_path / "views", keep_s=0)


def names(skills: Skills, agent: AgentSpec) -> list[str]:
    return [skill.name for skill in skills.of(agent)]


def test_an_agent_has_the_skills_that_its_globs_name(skills: Skills) -> None:
    assert names(skills, ALL) == ["alpha", "beta"]
    assert names(skills, AgentSpec(name="coder", skills=("b*",))) == ["beta"]
    assert names(skills, AgentSpec(name="coder")) == []


def test_an_agents_own_skill_comes_before_the_shared_one_of_that_name(skills: Skills, tmp_path: Path) -> None:
    write_skill(tmp_path / "agents" / "coder" / "skills" / "beta", "---\nname: beta\ndescription: My own.\n---\n")
    write_skill(tmp_path / "agents" / "coder" / "skills" / "gamma")
    assert names(skills, AgentSpec(name="coder", skills=("alpha",))) == ["alpha", "beta", "gamma"]
    assert next(s for s in skills.of(ALL) if s.name == "beta").description == "My own."
    assert names(skills, AgentSpec(name="other", skills=("*",))) == ["alpha", "beta"]


def test_the_prompt_names_each_skill_and_what_it_is_for(skills: Skills) -> None:
    assert "- alpha: About alpha.\n- beta: About beta." in skills.section(ALL)
    assert skills.section(AgentSpec(name="plain")) == ""


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("Just text.\n", "no YAML head"),
        ("---\ndescription: It helps.\n---\n", "the head has no name"),
        ("---\nname: Odd_Name\ndescription: It helps.\n---\n", "should be up to 64 of a-z"),
        ("---\nname: other\ndescription: It helps.\n---\n", "should be that of the folder"),
        ("---\nname: odd\n---\n# Helping\n", "no description"),
        ("---\nname: odd\ndescription: use it when: always: ok\n---\n", "not valid YAML"),
        ("---\nname: odd\ndescription: It helps.\ncolour: red\n---\n", "does not know: colour"),
        ("---\nname: odd\ndescription: " + "x" * 2000 + "\n---\n", "1024 are shown"),
        ("---\nname: odd\ndescription: It helps.\n---\n" + "line\n" * 600, "more than 500 lines"),
    ],
)
def test_what_is_odd_is_warned_of_and_loads_all_the_same(tmp_path: Path, text: str, warning: str) -> None:
    skill = load_skill(write_skill(tmp_path / "odd", text))
    assert any(warning in said for said in skill.warnings), skill.warnings
    assert skill.description


def test_a_description_with_a_colon_is_read_as_it_was_meant(tmp_path: Path) -> None:
    skill = load_skill(write_skill(tmp_path / "odd", "---\nname: odd\ndescription: Use when: always\n---\n"))
    assert skill.description == "Use when: always"


def bomb(inside: str) -> str:
    """Nine names, each nine times the one before it: a text of 400 million words in 500 bytes."""
    names = "abcdefghi"
    lines = "".join(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in pairwise(names))
    return f"---\nname: odd\ndescription: It helps.\na: &a [lol]\n{lines}{inside}---\nDo it.\n"


@pytest.mark.parametrize(
    "text",
    [
        bomb("metadata:\n  x: *i\n"),
        bomb("allowed-tools: [*i]\n"),
        bomb("license: *i\n"),
        "---\nname: odd\ndescription: It helps.\nm: " + "[" * 3000 + "\n---\nDo it.\n",
        "---\nname: odd\ndescription: It helps.\nmetadata: &m\n  a: *m\n---\nDo it.\n",
        "---\nname: odd\ndescription: It helps.\nsince: 2024-13-45\n---\nDo it.\n",
        f"---\nname: odd\ndescription: It helps.\nversion: {'9' * 5000}\n---\nDo it.\n",
        "---\nname: odd\ndescription: It helps.\nrun: !!python/object/apply:os.abort []\n---\nDo it.\n",
        f"---\nname: odd\ndescription: It helps.\nx: {'y' * 20_000}\n---\nDo it.\n",
        '---  \nname: odd\ndescription: "It\\e helps."\n--- \nDo it.\n',
    ],
)
def test_a_head_that_means_harm_is_read_as_far_as_it_is_one(tmp_path: Path, text: str) -> None:
    skill = load_skill(write_skill(tmp_path / "odd", text))
    assert (skill.name, skill.description, skill.body) == ("odd", "It helps.", "Do it.")
    assert len(repr(skill)) < 2000


def test_what_is_no_plain_file_is_neither_read_nor_waited_for(skills: Skills, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("---\nname: leak\ndescription: secret\n---\n")
    for name, make in {
        "pipe": os.mkfifo,
        "leak": lambda file: file.symlink_to(tmp_path / "secret"),
        "zero": lambda file: file.symlink_to("/dev/zero"),
        "folder": Path.mkdir,
        "binary": lambda file: file.write_bytes(b"\x7fELF\0\1"),
    }.items():
        (tmp_path / "shared" / name).mkdir()
        make(tmp_path / "shared" / name / "SKILL.md")
    found = find_skills(tmp_path / "shared")
    assert [skill.name for skill in found.skills] == ["alpha", "beta"]
    assert {bad.folder: bad.reason.removeprefix("SKILL.md ") for bad in found.bad} == {
        "binary": "is no text",
        "folder": "cannot be read: Is a directory",
        "leak": "cannot be read: it is a link",
        "pipe": "cannot be read: it is no file",
        "zero": "cannot be read: it is a link",
    }


def test_a_file_in_small_letters_is_a_skill_too(skills: Skills, tmp_path: Path) -> None:
    (tmp_path / "shared" / "alpha" / "SKILL.md").rename(tmp_path / "shared" / "alpha" / "skill.md")
    found = find_skills(tmp_path / "shared")
    assert [(skill.name, skill.warnings) for skill in found.skills] == [("alpha", ()), ("beta", ())]
    assert ask(skills, '{"name": "alpha"}').text == "Do it."


def test_a_folder_that_describes_nothing_is_said_and_does_no_harm_to_the_others(tmp_path: Path) -> None:
    write_skill(tmp_path / "good")
    write_skill(tmp_path / "empty", "---\nname: empty\n---\n")
    (tmp_path / "none").mkdir()
    write_skill(tmp_path / "thief", "---\nname: good\ndescription: Not me.\n---\n")
    write_skill(tmp_path / "climber", "---\nname: ../../etc\ndescription: Out.\n---\n")
    found = find_skills(tmp_path)
    assert [skill.name for skill in found.skills] == ["good"]
    assert {bad.folder for bad in found.bad} == {"empty", "none", "thief", "climber"}


def test_names_that_are_no_text_keep_nobody_from_the_rest(skills: Skills, tmp_path: Path) -> None:
    """Archives of other systems have them: bytes that are no UTF-8, and what is longer than a folder may be called."""
    alpha, shared = os.fsencode(tmp_path / "shared" / "alpha"), os.fsencode(tmp_path / "shared")
    Path(os.fsdecode(alpha + b"/caf\xe9.txt")).write_text("coffee")
    for folder, head in (
        (b"th\xe9", "description: Tea."),
        (b"long", "name: " + 64 * "\N{GRINNING FACE}" + "\ndescription: It."),
    ):
        os.mkdir(shared + b"/" + folder)
        Path(os.fsdecode(shared + b"/" + folder + b"/SKILL.md")).write_text(f"---\n{head}\n---\nDo it.\n")
    os.mkdir(shared + b"/caf\xe9")
    assert "th" in names(skills, ALL) and len(names(skills, ALL)) == 4
    said = [skills.section(ALL), ask(skills, '{"name": "alpha"}').text, SkillsModule(skills).health().detail]
    assert json.loads(json.dumps(said, ensure_ascii=False).encode()) == said
    view = skills.view(ALL)
    assert view is not None and sorted(folder.name for folder in view.iterdir()) == names(skills, ALL)
    assert Path(os.fsdecode(os.fsencode(view) + b"/alpha/caf\xe9.txt")).read_text() == "coffee"


def test_a_skill_that_is_saved_is_used_within_a_second(skills: Skills, tmp_path: Path) -> None:
    assert names(skills, ALL) == ["alpha", "beta"]
    write_skill(tmp_path / "shared" / "new")

    until = time.monotonic() + 30
    while "new" not in names(skills, ALL):
        assert time.monotonic() < until


def test_a_model_reads_the_text_and_then_the_files_it_needs(skills: Skills, tmp_path: Path) -> None:
    (tmp_path / "shared" / "alpha" / "notes").mkdir()
    (tmp_path / "shared" / "alpha" / "notes" / "more.md").write_text("More.")
    body = ask(skills, '{"name": "alpha"}')
    assert body.text.startswith("Do it.")
    assert "- notes/more.md" in body.text
    assert ask(skills, '{"name": "alpha", "file": "notes/more.md"}').text == "More."


@pytest.mark.parametrize("file", ["../beta/SKILL.md", "/etc/passwd", "link", "linked/secret", "notes", "nothing", "a\nb", "\x00"])
def test_nothing_but_the_skills_own_files_is_read(skills: Skills, tmp_path: Path, file: str) -> None:
    secret = tmp_path / "outside"
    secret.mkdir()
    (secret / "secret").write_text("secret")
    (tmp_path / "shared" / "alpha" / "notes").mkdir()
    (tmp_path / "shared" / "alpha" / "link").symlink_to(secret / "secret")
    (tmp_path / "shared" / "alpha" / "linked").symlink_to(secret)
    result = ask(skills, json.dumps({"name": "alpha", "file": file}))
    assert result.is_error
    assert "has no file" in result.text


def test_an_unknown_skill_is_answered_with_those_that_are_there(skills: Skills) -> None:
    result = ask(skills, '{"name": "delta"}')
    assert result.is_error
    assert result.text == "there is no skill 'delta'; there are: alpha, beta"


def test_binary_files_are_left_to_the_sandbox(skills: Skills, tmp_path: Path) -> None:
    (tmp_path / "shared" / "alpha" / "font.bin").write_bytes(b"\xff\xfe\x00")
    assert "at /skills/alpha/font.bin" in ask(skills, '{"name": "alpha", "file": "font.bin"}').text


def test_the_view_holds_copies_of_the_agents_skills_without_links(skills: Skills, tmp_path: Path) -> None:
    alpha = tmp_path / "shared" / "alpha"
    (alpha / "run.sh").write_text("echo hi")
    (alpha / "run.sh").chmod(0o700)
    (alpha / "link").symlink_to("/etc/passwd")
    view = skills.view(AgentSpec(name="coder", skills=("alpha",)))
    assert view is not None
    assert sorted(p.relative_to(view).as_posix() for p in view.rglob("*")) == ["alpha", "alpha/SKILL.md", "alpha/run.sh"]
    assert os.stat(view / "alpha" / "run.sh").st_mode & 0o777 == 0o755
    assert os.stat(view / "alpha" / "SKILL.md").st_mode & 0o777 == 0o644
    assert skills.view(AgentSpec(name="coder", skills=("alpha",))) == view
    (alpha / "run.sh").write_text("echo changed")
    assert skills.view(AgentSpec(name="coder", skills=("alpha",))) != view
    assert skills.view(AgentSpec(name="plain")) is None


def test_many_sandboxes_that_ask_at_once_get_one_whole_view(skills: Skills, tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / "shared" / "alpha" / f"{number}.txt").write_text("x" * number)
    with ThreadPoolExecutor(8) as threads:
        views = set(threads.map(lambda _: skills.view(ALL), range(16)))
    (view,) = views
    assert view is not None and len(list((view / "alpha").iterdir())) == 201


def test_what_a_former_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "views" / "old").mkdir(parents=True)
    Skills(tmp_path / "shared", tmp_path / "agents", tmp_path / "views")
    assert not (tmp_path / "views").exists()


def test_a_view_that_is_out_of_date_goes_once_no_sandbox_sees_it(skills: Skills, tmp_path: Path) -> None:
    async def main() -> None:
        seen: set[Path] = set()
        views = [skills.view(ALL)]
        kept = skills.view(AgentSpec(name="other", skills=("beta",)))
        for text in ("one", "three"):
            (tmp_path / "shared" / "alpha" / "more.md").write_text(text)
            views.append(skills.view(ALL))
        first, _, newest = views
        assert first and newest and kept
        seen.add(first)
        async with SkillsModule(skills, lambda: seen, tidy_s=0.01):
            await until(lambda: set((tmp_path / "views").iterdir()) == {first, newest, kept})
            seen.clear()
            await until(lambda: not first.exists())
            assert (newest / "alpha" / "more.md").read_text() == "three" and (kept / "beta" / "SKILL.md").exists()
        assert not (tmp_path / "views").exists()

    asyncio.run(main())


def test_a_view_that_was_just_given_away_is_left_alone(skills: Skills, tmp_path: Path) -> None:
    patient = Skills(tmp_path / "shared", tmp_path / "agents", tmp_path / "views")
    view = patient.view(ALL)
    (tmp_path / "shared" / "alpha" / "more.md").write_text("more")
    assert patient.view(ALL) != view
    patient.tidy(())
    assert view is not None and view.exists()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0)


def test_health_says_which_folder_cannot_be_used(skills: Skills, tmp_path: Path) -> None:
    assert SkillsModule(skills).health().detail == "2 skills"
    (tmp_path / "shared" / "void").mkdir()
    other = Skills(tmp_path / "shared", tmp_path / "agents", tmp_path / "views")
    assert SkillsModule(other).health().detail == {"void": "there is no SKILL.md"}
    (tmp_path / "agents" / "coder" / "skills" / "hollow").mkdir(parents=True)
    assert SkillsModule(other).health().detail == {
        "void": "there is no SKILL.md",
        "coder/skills/hollow": "there is no SKILL.md",
    }


def test_the_skills_that_ship_follow_the_format() -> None:
    found = find_skills(share() / "configs" / "skills")
    assert [skill.name for skill in found.skills] == ["data-analysis", "sympy"]
    assert not found.bad
    assert [skill.warnings for skill in found.skills] == [(), ()]


def ask(skills: Skills, arguments: str):
    async def quiet(_output: object) -> None: ...

    (source,) = SkillsModule(skills).tools
    ctx = CallContext(who=SYSTEM, run_id="run_a", session_id=None, agent=ALL, timeout_s=9, idempotency_key="k", emit=quiet)
    return asyncio.run(source.call(ToolCall("call_a", "read_skill", arguments), ctx))
