"""`agentrt skills`: which there are, and what is odd about them. Reads folders; needs no server."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from agentrt.skills import SKILL_FILE, BadSkill, Skill, entry_of, find_skills, load_skill

from .flags import flags, read_settings
from .terminal import clean, counted, note, table, write_json


@click.group()
def skills() -> None:
    """List skills, and check whether they follow the format."""


@skills.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs: JSON.")
@flags("settings")
def list_(as_json: bool, **said: Any) -> None:
    """List the skills that agents can choose from."""
    folder = read_settings(said).skills
    found = find_skills(folder)
    if as_json:
        write_json([{"name": skill.name, "description": skill.description} for skill in found.skills])
        return
    table(("NAME", "DESCRIPTION"), [(skill.name, skill.description) for skill in found.skills])
    if not found.skills:
        note(f"no skills in {folder}")
    for bad in found.bad:
        click.echo(clean(f"{bad.folder}: not used: {bad.reason}"), err=True)


@skills.command()
@click.argument("folders", nargs=-1, metavar="[FOLDERS...]", type=click.Path(path_type=Path, exists=True, file_okay=False))
@flags("settings")
@click.pass_context
def check(ctx: click.Context, folders: tuple[Path, ...], **said: Any) -> None:
    """Check whether skills follow the format.

    FOLDERS hold a SKILL.md, or skills; without any it is the server's skills folder. Warnings are told, and such skills are used
    all the same. Exit code 1 where one cannot be used.
    """
    good, bad = _look(folders or (read_settings(said).skills,))
    for skill in good:
        for warning in skill.warnings:
            click.echo(clean(f"{skill.folder.name}: warning: {warning}"))
    for one in bad:
        click.echo(clean(f"{one.folder}: cannot be used: {one.reason}"))
    warnings = sum(len(skill.warnings) for skill in good)
    click.echo(
        f"{counted(len(good), 'skill')} can be used, {counted(warnings, 'warning')}, {counted(len(bad), 'problem')}", err=True
    )
    ctx.exit(1 if bad else 0)


def _look(folders: Sequence[Path]) -> tuple[list[Skill], list[BadSkill]]:
    good: list[Skill] = []
    bad: list[BadSkill] = []
    for folder in (folder.resolve() for folder in folders):
        if os.path.lexists(entry_of(folder)):
            try:
                good.append(load_skill(folder))
            except ValueError as exc:
                bad.append(BadSkill(folder.name, str(exc)))
            continue
        found = find_skills(folder)
        good += found.skills
        bad += found.bad
        if not found.skills and not found.bad:
            bad.append(BadSkill(folder.name, f"neither it nor a folder in it holds a {SKILL_FILE}"))
    return good, bad
