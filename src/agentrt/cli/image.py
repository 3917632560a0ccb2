"""`agentrt image`: what code runs on, built on this machine."""

import asyncio
from typing import TYPE_CHECKING, Any

import click
import msgspec

from agentrt.kernel import Invalid
from agentrt.settings import make_data_folder

from .flags import as_json, flags, read_settings
from .terminal import local_time, note, table, write_json

if TYPE_CHECKING:
    from agentrt.containers import Image, Images

engine_option = click.option(
    "--engine", type=click.Choice(["auto", "docker", "bubblewrap"]), help="Whose image [the engine of the settings]."
)


@click.group()
def image() -> None:
    """Build, list and remove the images that code runs on."""


@image.command()
@click.option(
    "--base",
    default="auto",
    metavar="BASE",
    help="auto, registry (python:3.12-slim), host (a copy of this machine's Debian packages), debootstrap, "
    "or the name of an image [auto].",
)
@click.option("--fresh", is_flag=True, help="Also where it is there: with the newest packages.")
@engine_option
@flags("data_dir", "settings")
def build(base: str, fresh: bool, **said: Any) -> None:
    """Build the image that code runs on.

    Its packages are those of the settings (containers.packages).
    """
    tag = asyncio.run(_build(said, base, fresh))
    click.echo(tag)


@image.command("list")
@engine_option
@as_json
@flags("data_dir", "settings")
def list_(as_json: bool, **said: Any) -> None:
    """The images that are there, newest first."""
    found = asyncio.run(_list(said))
    if as_json:
        return write_json(msgspec.to_builtins(found))
    table(("IMAGE", "SIZE", "CREATED", "BASE", "STATE"), [_row(image) for image in found])
    if not found:
        note("no images: agentrt image build makes one")


@image.command()
@click.argument("tags", nargs=-1, metavar="[IMAGE...]")
@click.option("--unused", is_flag=True, help="All that nothing uses and the settings do not ask for.")
@engine_option
@flags("data_dir", "settings")
def remove(tags: tuple[str, ...], unused: bool, **said: Any) -> None:
    """Remove images; one that a sandbox runs on stays."""
    if bool(tags) == unused:
        raise click.UsageError("name images, or give --unused")
    for tag in asyncio.run(_remove(said, tags)):
        click.echo(f"removed {tag}")


def _row(image: "Image") -> tuple[str, ...]:
    state = ", ".join(word for word, holds in (("current", image.current), ("in use", image.in_use)) if holds)
    return (image.tag, f"{image.size / 1e6:.0f} MB", local_time(image.created.isoformat()), image.base, state)


async def _build(said: dict[str, Any], base: str, fresh: bool) -> str:
    return await (await _images(said)).build(note, base, fresh=fresh)


async def _list(said: dict[str, Any]) -> "list[Image]":
    return list(await (await _images(said)).list())


async def _remove(said: dict[str, Any], tags: tuple[str, ...]) -> list[str]:
    images = await _images(said)
    if not tags:
        return list(await images.remove_unused())
    for tag in tags:
        await images.remove(tag)
    return list(tags)


async def _images(said: dict[str, Any]) -> "Images":
    """The images of the engine that was named, else of the one that the settings choose."""
    from agentrt.configs import fit
    from agentrt.containers import ContainerOptions, Images, choose_engine

    engine = said.pop("engine")
    settings = read_settings(said)
    options = fit(settings.containers | ({"engine": engine} if engine else {}), ContainerOptions, "containers")
    if options.engine == "none":
        raise Invalid("containers.engine is none in the settings: name one with --engine")
    folder = settings.data_dir / "containers"
    name = options.engine if options.engine != "auto" else (await choose_engine(options, folder)).name
    make_data_folder(settings.data_dir)
    return Images(folder / "images", options, name)
