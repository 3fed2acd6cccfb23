"""`branchline mcp`: the context broker for agents, as an MCP server."""

import sys
from pathlib import Path

import click

from branchline.cli.options import cache_option, root_option
from branchline.errors import InvalidInput

INSTALL = "pip install 'mcp>=2'"


@click.command("mcp")
@root_option
@cache_option
def command(*, root: Path, cache: Path | None) -> None:
    """Offer the choice of files to any agent, as an MCP server on stdio.

    Its tools are context_manifest, context_search and context_explain; each call looks at the files anew. It reads
    JSON-RPC from stdin until that ends. For Claude Code:  claude mcp add branchline -- branchline mcp
    """
    from branchline.cli.output import say

    try:
        from branchline.cli.context.mcp_server import Tools, serve
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("branchline"):
            raise
        raise InvalidInput("the library for MCP is not installed, or is older than 2", hint=INSTALL) from error
    if sys.stdin.isatty():
        say(
            "This waits for an MCP client on stdin. To connect Claude Code:",
            "  claude mcp add branchline -- branchline mcp",
        )
    serve(Tools(root, cache))
