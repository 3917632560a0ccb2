"""Operators' files as the server sees them: versions, names, mistakes, and what a restart remembers."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from agentrt.agents import AgentSpec
from agentrt.bus import ConfigChanged
from agentrt.configs import Kind, version_of
from agentrt.kernel import Invalid, NotFound, Unavailable

Agents = Callable[..., Kind[AgentSpec]]


class Note(msgspec.Struct, forbid_unknown_fields=True):
    text: str = ""


def test_agents_are_found_by_name_and_by_alias(world: Any) -> None:
    world.write("a.yaml", "name: ada\naliases: [countess]\n")
    world.write("b.yml", "name: bob\n")
    world.write("notes.txt", "not an agent")
    world.write(".draft.yaml", "not: ready")

    async def main() -> None:
        async with world.store() as store:
            assert sorted(store.current("agents")) == ["ada", "bob"]
            ada = store.find("agents", "countess")
            assert ada is not None and ada is store.find("agents", "ada") and ada is store.current("agents")["ada"]
            assert (ada.name, ada.source, ada.version) == ("ada", "agents/a.yaml", version_of(ada.spec))
            assert store.find("agents", "carl") is None
            assert (store.health().status, store.health().detail) == ("ok", {"agents": 2})

    asyncio.run(main())


def test_a_version_names_the_content_not_the_spelling(world: Any) -> None:
    async def main() -> None:
        async with world.store() as store:
            versions = []
            for text in (
                "name: a\nmode: interactive\n",
                "# comment\n{mode: interactive, name: a}\n",
                "name: a\nmode: autonomous\n",
            ):
                world.write("a.yaml", text)
                await store.reload()
                versions.append(store.current("agents")["a"].version)
            assert versions[0] == versions[1] != versions[2]

    asyncio.run(main())


def test_a_pinned_version_is_there_after_the_file_changed_and_the_server_restarted(world_on_each: Any) -> None:
    world = world_on_each
    world.write("a.yaml", "name: a\nprompt: first\nmetadata: {n: 1.5}\n")

    async def main() -> None:
        async with world.store() as store:
            first = store.current("agents")["a"]
            world.write("a.yaml", "name: a\nprompt: second\n")
            await store.reload()
            assert store.current("agents")["a"].spec.prompt == "second"
            assert await store.version("agents", "a", first.version) == first.spec
        (world.folder / "a.yaml").unlink()
        async with world.store() as store:
            assert store.find("agents", "a") is None
            again = await store.version("agents", "a", first.version)
            assert again == first.spec and version_of(again) == first.version
            assert await store.version("agents", "a", first.version) is again
            with pytest.raises(NotFound) as caught:
                await store.version("agents", "a", "0" * 16)
            assert caught.value.code == "config_version_not_found"

    asyncio.run(main())


def test_loading_the_same_content_again_keeps_one_version(world_on_each: Any) -> None:
    world = world_on_each
    world.write("a.yaml", "name: a\n")

    async def main() -> None:
        for _ in range(2):
            async with world.store() as store:
                await store.reload()
                assert store.health().status == "ok"

    asyncio.run(main())


def test_a_version_of_another_release_that_cannot_be_read_says_so(world: Any, tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text("text: hi\n")
    old = Kind(name="notes", type=Note, paths=(tmp_path / "n.yaml",))

    class NoteToday(msgspec.Struct, forbid_unknown_fields=True):
        words: str = ""

    async def main() -> None:
        async with world.store(old) as store:
            version = store.current("notes")["n"].version
        (tmp_path / "n.yaml").write_text("words: hi\n")
        async with world.store(Kind(name="notes", type=NoteToday, paths=(tmp_path / "n.yaml",))) as store:
            with pytest.raises(Invalid, match="cannot be read by this release"):
                await store.version("notes", "n", version)

    asyncio.run(main())


def test_a_bad_file_at_start_leaves_the_others_and_is_named(world: Any) -> None:
    world.write("bad.yaml", "name: bad\nmodle: x/y\n")
    world.write("good.yaml", "name: good\n")

    async def main() -> None:
        async with world.store() as store:
            said = "agents/bad.yaml:2:1: unknown field 'modle' (did you mean 'model'?) at $"
            assert list(store.current("agents")) == ["good"]
            assert store.problems() == [said]
            assert (store.health().status, store.health().detail) == ("degraded", {"agents": 1, "problems": [said]})

    asyncio.run(main())


def test_a_bad_edit_keeps_the_last_good_version_until_it_is_repaired(world: Any) -> None:
    world.write("a.yaml", "name: a\nprompt: good\n")

    async def main() -> None:
        async with world.store() as store:
            before = store.current("agents")["a"]
            world.write("a.yaml", "name: a\nprompt: {{ now }}\n")
            with capture_logs() as logs, world.bus.subscribe(ConfigChanged) as signals:
                await store.reload()
                await store.reload()
                world.bus.close()
                assert [signal async for signal in signals] == [ConfigChanged("agents")]
            assert store.find("agents", "a") is before
            [problem] = store.problems()
            assert problem.startswith("agents/a.yaml:2:10: a text that begins with a brace must") and problem.endswith(
                "; the last good version stays in use"
            )
            assert store.health().status == "degraded"
            assert [(entry["event"], entry["log_level"]) for entry in logs] == [("config.refused", "warning")]
            world.write("a.yaml", "name: a\nprompt: better\n")
            await store.reload()
            assert (store.problems(), store.current("agents")["a"].spec.prompt) == ([], "better")

    asyncio.run(main())


def test_what_a_check_finds_is_refused_like_what_types_find(world: Any) -> None:
    world.write("a.yaml", "name: a\nsession: {from: [user, user]}\n")

    async def main() -> None:
        async with world.store() as store:
            assert store.problems()[0].startswith("agents/a.yaml:2:24: 'user' is listed twice")

    asyncio.run(main())


def test_two_files_that_claim_a_name_are_both_named_and_the_first_serves(world: Any) -> None:
    world.write("a.yaml", "name: one\naliases: [both]\n")
    world.write("b.yaml", "name: two\ndescription: x\naliases:\n  - both\n")
    world.write("c.yaml", "name: one\n")

    async def main() -> None:
        async with world.store() as store:
            assert list(store.current("agents")) == ["one"]
            assert store.problems() == [
                "agents/b.yaml:4:5: the name 'both' is taken by agents/a.yaml:2:11 at $.aliases[0]",
                "agents/c.yaml:1:7: the name 'one' is taken by agents/a.yaml:1:7 at $.name",
            ]

    asyncio.run(main())


def test_who_serves_a_name_keeps_it_against_a_newcomer_even_while_its_own_file_is_broken(world: Any) -> None:
    world.write("b.yaml", "name: b\nprompt: mine\n")

    async def main() -> None:
        async with world.store() as store:
            world.write("a.yaml", "name: b\n")
            await store.reload()
            assert store.current("agents")["b"].source == "agents/b.yaml"
            assert store.problems() == ["agents/a.yaml:1:7: the name 'b' is taken by agents/b.yaml:1:7 at $.name"]
            world.write("b.yaml", "name: [\n")
            await store.reload()
            assert store.current("agents")["b"].spec.prompt == "mine"
            assert len(store.problems()) == 2
            (world.folder / "b.yaml").unlink()
            await store.reload()
            assert (store.problems(), store.current("agents")["b"].source) == ([], "agents/a.yaml")

    asyncio.run(main())


def test_no_agents_at_all_is_a_problem_unless_they_are_optional(world: Any, agents: Agents) -> None:
    missing, empty = world.folder / "missing", world.folder
    empty.mkdir()

    async def main() -> None:
        for path, said in (
            (missing, "missing:1:1: there is no such file or folder"),
            (empty, "agents:1:1: the folder holds no *.yaml file"),
        ):
            async with world.store(agents(path)) as store:
                assert store.problems() == [said]
            async with world.store(agents(path, optional=True)) as store:
                assert store.health().status == "ok"

    asyncio.run(main())


def test_paths_are_shown_as_the_operator_gave_them_and_never_absolute(
    world: Any, agents: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write("a.yaml", "nam: a\n")
    monkeypatch.chdir(world.folder.parent)

    async def main() -> None:
        for path, shown in (
            (Path("agents"), "agents/a.yaml"),
            (Path("./agents/a.yaml"), "agents/a.yaml"),
            (world.folder, "agents/a.yaml"),
            (world.folder / "a.yaml", "a.yaml"),
            (Path("../" + world.folder.parent.name + "/agents"), f"../{world.folder.parent.name}/agents/a.yaml"),
        ):
            async with world.store(agents(path)) as store:
                assert [problem.partition(":")[0] for problem in store.problems()] == [shown]

    asyncio.run(main())


def test_files_of_two_folders_with_one_name_are_told_apart(world: Any, tmp_path: Path, agents: Agents) -> None:
    world.write("a.yaml", "name: a\n")
    (tmp_path / "more" / "agents").mkdir(parents=True)
    (tmp_path / "more" / "agents" / "a.yaml").write_text("name: b\n")

    async def main() -> None:
        async with world.store(agents(world.folder, tmp_path / "more" / "agents")) as store:
            assert {name: entry.source for name, entry in store.current("agents").items()} == {
                "a": "agents/a.yaml",
                "b": "more/agents/a.yaml",
            }

    asyncio.run(main())


def test_an_amended_document_is_versioned_as_amended_and_its_file_is_not_blamed_for_it(world: Any, agents: Agents) -> None:
    world.write("a.yaml", "name: a\n")

    def amend(spec: AgentSpec) -> AgentSpec:
        return msgspec.structs.replace(spec, model="offline/offline")

    async def main() -> None:
        async with world.store() as store:
            plain = store.current("agents")["a"]
        async with world.store(agents(world.folder, amend=amend)) as store:
            amended = store.current("agents")["a"]
            assert (amended.spec.model, amended.version != plain.version) == ("offline/offline", True)
        async with world.store(agents(world.folder, amend=lambda spec: msgspec.structs.replace(spec, model="gpt"))) as store:
            assert (store.current("agents")["a"].spec.model, store.problems()) == ("gpt", [])

    asyncio.run(main())


def test_documents_that_may_hold_secrets_are_not_stored(world: Any, tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text("text: secret\n")
    kind = Kind(name="notes", type=Note, paths=(tmp_path / "n.yaml",), stored=False)

    async def main() -> None:
        async with world.store(kind) as store:
            version = store.current("notes")["n"].version
            assert (await store.version("notes", "n", version)).text == "secret"
        async with world.store(Kind(name="notes", type=Note, paths=(tmp_path / "gone.yaml",), optional=True)) as store:
            with pytest.raises(NotFound):
                await store.version("notes", "n", version)

    asyncio.run(main())


def test_a_database_that_cannot_be_written_prevents_the_start(world: Any, tmp_path: Path) -> None:
    world.write("a.yaml", "name: a\n")
    (tmp_path / "agentrt.db").mkdir()

    async def main() -> None:
        with pytest.raises(Unavailable):
            async with world.store():
                pytest.fail("entered")
        for thread in threading.enumerate():  # the driver's thread still says goodbye to this loop
            if "_connection_worker_thread" in thread.name:
                await asyncio.to_thread(thread.join, 10)

    asyncio.run(main())
