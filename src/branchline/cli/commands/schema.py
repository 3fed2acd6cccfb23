"""`branchline schema`: what the files that people write may say."""

import sys

import click

NAMES = ("plan", "config", "graph", "context")


@click.command("schema")
@click.argument("name", required=False, metavar="[NAME]", type=click.Choice(NAMES))
@click.option("--json", "_as_json", is_flag=True, help="A schema is always JSON.")
def command(*, name: str | None, _as_json: bool) -> None:
    """Print the JSON Schema of a kind of file.

    NAME is plan, config, graph or context; without it, all are printed in one object.
    """
    from branchline.config.schemas import MODELS, as_text, schema

    sys.stdout.write(as_text(schema(name) if name else {each: schema(each) for each in MODELS}))
