"""The commands as a table. Help, completion and spelling suggestions read the table; none of them imports a command."""

from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from branchline._version import __version__
from branchline.errors import InvalidInput

WIDTH = 80


class Entry(NamedTuple):
    """Where a command is listed, and its help in one line. It lives in `cli.commands.<name>` as `command`."""

    section: str
    help: str


COMMANDS = {
    "run": Entry("Run", "Carry a request out: agents plan and work, gates check, the result merges."),
    "plan": Entry("Run", "Have an agent split a request into workstreams; nothing is changed."),
    "approve": Entry("Run", "Say yes to what waits, a plan or a change, and go on."),
    "reject": Entry("Run", "Say no to what waits, and go on without it."),
    "resume": Entry("Run", "Go on with a run that was interrupted or that failed."),
    "retry": Entry("Run", "Do one task of a run again, and what follows from it."),
    "cancel": Entry("Run", "End a run; what its agents made so far is kept."),
    "list": Entry("Look", "List the runs."),
    "status": Entry("Look", "Say where a run stands."),
    "show": Entry("Look", "Show everything about a run, or about one of its tasks."),
    "log": Entry("Look", "Print what happened in a run, line by line."),
    "costs": Entry("Look", "Say what the agents of a run used, and what is left of its budget."),
    "diff": Entry("Look", "Print the change that a run or a workstream made."),
    "graph": Entry("Look", "Draw the task graph of a run or of a plan."),
    "context": Entry("Look", "Choose the files that a task needs, under a budget, and say why."),
    "trace": Entry("Look", "Send the trace of a run to a collector, or write it to a file."),
    "verify": Entry("Repair", "Check that a ledger is whole and makes sense."),
    "rollback": Entry("Repair", "Undo what a run has shipped, by a new commit."),
    "replay": Entry("Repair", "Do a run's gates and merges again, and name the first that differs."),
    "restore": Entry("Repair", "Bring work back that a run has saved."),
    "gc": Entry("Repair", "Save and remove what ended runs left in the way."),
    "doctor": Entry("Repair", "Check that everything needed is here."),
    "agents": Entry("Set up", "List the agents: what is installed, and what each can do."),
    "demo": Entry("Set up", "Show the whole job on a small repository of its own."),
    "init": Entry("Set up", "Write a configuration and an example plan."),
    "mcp": Entry("Set up", "Offer the choice of files to any agent, as an MCP server on stdio."),
    "schema": Entry("Set up", "Print the JSON Schema of a kind of file."),
    "completion": Entry("Set up", "Print the completion script of a shell."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        command = import_module(f"branchline.cli.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments begin with. Raises InvalidInput with the nearest name."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
            hint = f"did you mean: branchline {near[0]}" if near else "branchline --help"
            raise InvalidInput(f"there is no command {name!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """The table, in its sections."""
        longest = max(map(len, COMMANDS))
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            rows = [(name.ljust(longest), e.help) for name, e in COMMANDS.items() if e.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names that begin so, and the options."""
        own = [CompletionItem(name, help=e.help) for name, e in COMMANDS.items() if name.startswith(incomplete)]
        return own + click.Command.shell_complete(self, ctx, incomplete)


@click.command(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
    epilog="RUN is a run's id or the beginning of one; without it, the latest run is meant. "
    "`branchline COMMAND --help` says more.",
)
@click.version_option(__version__, "-V", "--version", message="branchline %(version)s", help="Print the version.")
@click.pass_context
def app(ctx: click.Context, /) -> Any:
    """Many agents, one main line.

    Runs coding agents in parallel, each in a git repository of its own; gates what
    they produce, merges it in a fixed order and ships it.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
