import click


@click.command()
def db() -> None:
    "x"
