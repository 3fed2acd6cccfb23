"""`branchline mcp`: the tools, what each takes and what it answers, behind the official SDK's server, one call at a time."""

import json
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any

import anyio
import mcp_types as types
import msgspec
from anyio.to_thread import run_sync
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from branchline._version import __version__
from branchline.cli.context.request import configured, in_root
from branchline.context.broker import of_folder
from branchline.context.manifest import to_bytes
from branchline.core.model.manifest import ContextRequest, Positive, TaskType
from branchline.core.model.plan import Model
from branchline.errors import BranchlineError, InvalidInput

INSTRUCTIONS = (
    "Which files of this repository to read for a task. Begin a task with context_manifest and the task's own words; "
    "use context_search for follow-up questions. Paths are relative to the root."
)
READ_ONLY = types.ToolAnnotations(read_only_hint=True, open_world_hint=False)
Text = Annotated[str, msgspec.Meta(min_length=1)]


def _about(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class ManifestCall(Model, frozen=True, kw_only=True):
    """Choose the files to read for a task, under a token budget, best first.

    Each comes with the form that fits (full, excerpt or outline), its line ranges, its score and why. Tests are listed
    apart, and what was left out with the reason.
    """

    task: Annotated[
        str, _about("What is to be done, in words; an issue or an error message with its traceback is best")
    ]
    task_type: Annotated[TaskType, _about("What the files are for; decides the budget if max_tokens is absent")] = (
        "edit"
    )
    targets: Annotated[tuple[Text, ...], _about("Paths of files that must be in, whatever they cost")] = ()
    keywords: Annotated[tuple[Text, ...], _about("Words and names to look for besides the task")] = ()
    max_tokens: Annotated[Positive | None, _about("The budget in tokens")] = None
    max_files: Annotated[Positive | None, _about("At most so many files")] = None


class SearchCall(Model, frozen=True, kw_only=True):
    """Rank the files that fit a text, with reasons and the line ranges that fit best. No budget, no contents."""

    text: Annotated[Text, _about("A question, a feature, an error message, names")]
    limit: Annotated[int, msgspec.Meta(ge=1, le=200, description="At most so many files")] = 20


class ExplainCall(Model, frozen=True, kw_only=True):
    """Say why a file is in the manifest of a task, or out of it: its rank, its score by signal, what matched."""

    path: Annotated[Text, _about("The file, as a path in the root")]
    text: Annotated[str, _about("The task in words, as given for the manifest")] = ""


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools on one folder, which is looked at anew on each call. `cache`: where the index is, if said."""

    root: Path
    cache: Path | None = None

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """What a tool answers, as JSON. Raises KeyError for one that there is not, BranchlineError."""
        model, answer = TOOLS[name]
        try:
            asked = msgspec.convert(dict(arguments), model)
        except msgspec.ValidationError as error:
            raise InvalidInput(
                f"the arguments of {name} are wrong: {error}", hint=f"see the schema of {name}"
            ) from error
        if not self.root.is_dir():
            raise InvalidInput(f"{self.root} is not there any more", hint="branchline mcp --root DIR")
        return answer(self, asked)

    def manifest(self, asked: ManifestCall) -> str:
        """The manifest, with the bytes that the command line prints."""
        return to_bytes(of_folder(self.root, cache=self.cache).manifest(self._request(asked))).decode("ascii")

    def search(self, asked: SearchCall) -> str:
        """The files that fit, best first."""
        files = []
        for found in of_folder(self.root, cache=self.cache).search(asked.text, limit=asked.limit):
            spans = next((form.spans for form in found.forms if form.mode == "excerpt"), ())
            files.append(
                {
                    "path": found.path,
                    "category": found.category,
                    "score": round(found.score, 4),
                    "reasons": {name: round(points, 4) for name, points in found.breakdown.items()},
                    "tokens": found.forms[-1].tokens,
                    "spans": msgspec.to_builtins(spans),
                }
            )
        return json.dumps({"files": files})

    def explain(self, asked: ExplainCall) -> str:
        """Why a file is in or out."""
        request = self._request(ManifestCall(task=asked.text))
        found = of_folder(self.root, cache=self.cache).explain(request, in_root(self.root, asked.path))
        return json.dumps(msgspec.to_builtins(found))

    def _request(self, asked: ManifestCall) -> ContextRequest:
        given = {name: value for name in ("max_tokens", "max_files") if (value := getattr(asked, name)) is not None}
        return ContextRequest(
            task_type=asked.task_type,
            text=asked.task,
            keywords=asked.keywords,
            targets=tuple(dict.fromkeys(in_root(self.root, path) for path in asked.targets)),
            settings=msgspec.structs.replace(configured(self.root), **given),
        )


TOOLS: dict[str, tuple[type[Model], Callable[[Tools, Any], str]]] = {
    "context_manifest": (ManifestCall, Tools.manifest),
    "context_search": (SearchCall, Tools.search),
    "context_explain": (ExplainCall, Tools.explain),
}
"""By name: the model of a tool's arguments, whose docstring describes it, and what it answers."""


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
