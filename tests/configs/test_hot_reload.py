"""Files that change while the server runs, as editors and deployments change them."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

from agentrt.configs import Kind


def test_an_edit_a_bad_edit_and_its_repair_are_each_seen(world: Any) -> None:
    world.write("a.yaml", "name: a\nprompt: one\n")

    async def main() -> None:
        async with world.store(watch=True) as store:

            def prompt() -> str:
                return store.current("agents")["a"].spec.prompt

            async with world.until(lambda: prompt() == "two"):
                world.write("a.yaml", "name: a\nprompt: two\n")
            async with world.until(lambda: store.health().status == "degraded"):
                world.write("a.yaml", "name: a\nprmpt: three\n")
            assert prompt() == "two"
            assert store.problems()[0].startswith("agents/a.yaml:2:1: unknown field 'prmpt' (did you mean 'prompt'?)")
            async with world.until(lambda: store.health().status == "ok"):
                world.write("a.yaml", "name: a\nprompt: three\n")
            assert prompt() == "three"

    asyncio.run(main())


def test_files_come_and_go_and_are_replaced_by_rename(world: Any) -> None:
    world.write("a.yaml", "name: a\n")

    async def main() -> None:
        async with world.store(watch=True) as store:
            async with world.until(lambda: store.find("agents", "b") is not None):
                world.write("b.yaml", "name: b\n")
            async with world.until(lambda: store.find("agents", "b") is None):
                (world.folder / "b.yaml").unlink()
            version = store.current("agents")["a"].version
            async with world.until(lambda: store.current("agents")["a"].version != version):
                world.write("a.new", "name: a\nprompt: renamed\n").replace(world.folder / "a.yaml")
            assert store.current("agents")["a"].spec.prompt == "renamed"

    asyncio.run(main())


def test_a_folder_that_appears_vanishes_and_appears_again_is_followed(world: Any) -> None:
    async def main() -> None:
        async with world.store(watch=True) as store:
            assert store.health().status == "degraded"
            for name in ("a", "b"):
                async with world.until(lambda name=name: store.find("agents", name) is not None):
                    world.write("x.yaml", f"name: {name}\n")
                async with world.until(lambda: not store.current("agents")):
                    shutil.rmtree(world.folder)

    asyncio.run(main())


def test_a_single_file_is_followed_through_its_folder(world: Any, tmp_path: Path, agents: Any) -> None:
    file = world.write("only.yaml", "name: a\n")
    world.write("other.yaml", "name: b\n")
    kind: Kind[Any] = agents(file)

    async def main() -> None:
        async with world.store(kind, watch=True) as store:
            assert list(store.current("agents")) == ["a"]
            async with world.until(lambda: "c" in store.current("agents")):
                world.write("swap", "name: c\n").replace(file)
            assert list(store.current("agents")) == ["c"]

    asyncio.run(main())


def test_an_edit_that_cannot_be_stored_is_not_served_until_it_can(world: Any) -> None:
    """A run pins the version it starts with: one that a restart would not find must not be started."""
    world.write("a.yaml", "name: a\nprompt: one\n")

    async def main() -> None:
        async with world.store(watch=True) as store:
            await world.sql("ALTER TABLE config_versions RENAME TO taken_away")
            async with world.until(lambda: store.health().status == "degraded"):
                world.write("a.yaml", "name: a\nprompt: two\n")
            assert store.problems()[0].startswith("edits are not in use yet: the database refuses")
            assert store.current("agents")["a"].spec.prompt == "one"
            async with world.until(lambda: store.health().status == "ok"):
                await world.sql("ALTER TABLE taken_away RENAME TO config_versions")
            assert store.current("agents")["a"].spec.prompt == "two"

    asyncio.run(main())
