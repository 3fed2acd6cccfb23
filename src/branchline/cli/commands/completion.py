"""`branchline completion`: the script that makes a shell complete our commands, options and run ids."""

import sys

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def command(ctx: click.Context, /, *, shell: str) -> None:
    """Print the completion script of a shell.

    For bash:  branchline completion bash >> ~/.bashrc
    """
    made = get_completion_class(shell)
    assert made is not None
    sys.stdout.write(made(ctx.find_root().command, {}, "branchline", "_BRANCHLINE_COMPLETE").source() + "\n")
