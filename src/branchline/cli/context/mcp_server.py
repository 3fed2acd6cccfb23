"""The protocol of `branchline mcp`: the tools behind the official SDK's server, one call at a time."""

import signal
from inspect import cleandoc
from typing import Any

import anyio
import mcp_types as types
import msgspec
from anyio.to_thread import run_sync
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from branchline._version import __version__
from branchline.cli.context.mcp_tools import TOOLS, Tools
from branchline.errors import BranchlineError

INSTRUCTIONS = (
    "Which files of this repository to read for a task. Begin a task with context_manifest and the task's own words; "
    "use context_search for follow-up questions. Paths are relative to the root."
)
READ_ONLY = types.ToolAnnotations(read_only_hint=True, open_world_hint=False)


def serve(tools: Tools) -> None:
    """Answer a client on stdin and stdout until it goes away."""
    # The SDK reads stdin in a thread that nothing can interrupt, and there is nothing to put away: Ctrl-C just ends us.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        anyio.run(_serve, tools)
    except* BrokenPipeError:
        pass  # the client has gone without closing our stdin first


async def _serve(tools: Tools) -> None:
    one_at_a_time = anyio.CapacityLimiter(1)  # a second call would only wait for the same index

    async def list_tools(_context: Any, _asked: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        told = []
        for name, (model, _) in TOOLS.items():
            schema = msgspec.json.schema_components([model])[1][model.__name__]
            about = cleandoc(schema.pop("description"))
            told.append(types.Tool(name=name, description=about, input_schema=schema, annotations=READ_ONLY))
        return types.ListToolsResult(tools=told)

    async def call_tool(_context: Any, asked: types.CallToolRequestParams) -> types.CallToolResult:
        if asked.name not in TOOLS:
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {asked.name!r}; known: {', '.join(TOOLS)}")
        try:
            text = await run_sync(tools.call, asked.name, asked.arguments or {}, limiter=one_at_a_time)
        except (BranchlineError, OSError) as error:
            hint = f"\nhint: {error.hint}" if isinstance(error, BranchlineError) and error.hint else ""
            told = f"error: {error}{hint}".encode("utf-8", "backslashreplace")  # names of files may be no text
            return _answer(told.decode("utf-8"), is_error=True)
        return _answer(text)

    server: Server[Any] = Server(
        "branchline", version=__version__, instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool
    )
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def _answer(text: str, *, is_error: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=text)], is_error=is_error)
