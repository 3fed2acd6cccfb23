"""The command reference as Markdown: `python -m branchline.cli.reference` prints what docs/reference/cli.md holds."""

import sys
from collections.abc import Iterator

import click

from branchline.cli.app import COMMANDS, WIDTH, app

INTRODUCTION = """\
# Command reference

Made from the program itself by `make reference`; a test keeps it current. What the commands share, their output, exit
codes and environment variables: [the command line](../command-line.md).
"""


def reference() -> str:
    """The help of every command, in the order of the table."""
    return "\n".join([INTRODUCTION, *_chapters()])


def _chapters() -> Iterator[str]:
    root = click.Context(app, info_name="branchline", terminal_width=WIDTH, **app.context_settings)
    yield _block(app, root)
    for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
        yield f"## {section}\n"
        for name in (name for name, entry in COMMANDS.items() if entry.section == section):
            command = app.get_command(root, name)
            assert command is not None
            yield f"### {name}\n"
            yield _block(command, click.Context(command, parent=root, info_name=name))


def _block(command: click.Command, ctx: click.Context) -> str:
    return f"```text\n{command.get_help(ctx)}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
