"""The tools that `branchline mcp` offers, without the protocol: what each takes, and what it answers."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from branchline.cli.context.request import configured, in_root
from branchline.context.broker import Broker, of_folder
from branchline.context.manifest import to_bytes
from branchline.core.model.manifest import Candidate, ContextRequest, Positive, TaskType
from branchline.core.model.plan import Model
from branchline.errors import InvalidInput

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


class Tool(NamedTuple):
    """A tool: the model of its arguments, whose docstring describes it, and what it does with them."""

    arguments: type[Model]
    answer: Callable[["Tools", Any], str]

    @property
    def description(self) -> str:
        """What it is for."""
        return cleandoc(self.arguments.__doc__ or "")

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        _, parts = msgspec.json.schema_components([self.arguments])
        return {key: value for key, value in parts[self.arguments.__name__].items() if key != "description"}


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools on one folder, which is looked at anew on each call. `cache`: where the index is, if said."""

    root: Path
    cache: Path | None = None

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """What a tool answers, as JSON. Raises KeyError for one that there is not, BranchlineError."""
        tool = TOOLS[name]
        try:
            asked = msgspec.convert(dict(arguments), tool.arguments)
        except msgspec.ValidationError as error:
            raise InvalidInput(
                f"the arguments of {name} are wrong: {error}", hint=f"see the schema of {name}"
            ) from error
        if not self.root.is_dir():
            raise InvalidInput(f"{self.root} is not there any more", hint="branchline mcp --root DIR")
        return tool.answer(self, asked)

    def manifest(self, asked: ManifestCall) -> str:
        """The manifest, with the bytes that the command line prints."""
        return to_bytes(self._broker().manifest(self._request(asked))).decode("ascii")

    def search(self, asked: SearchCall) -> str:
        """The files that fit, best first."""
        found = self._broker().search(asked.text, limit=asked.limit)
        return json.dumps({"files": [_file(candidate) for candidate in found]})

    def explain(self, asked: ExplainCall) -> str:
        """Why a file is in or out."""
        request = self._request(ManifestCall(task=asked.text))
        path = in_root(self.root, asked.path)
        return json.dumps(msgspec.to_builtins(self._broker().explain(request, path)))

    def _broker(self) -> Broker:
        return of_folder(self.root, cache=self.cache)

    def _request(self, asked: ManifestCall) -> ContextRequest:
        given = {name: value for name in ("max_tokens", "max_files") if (value := getattr(asked, name)) is not None}
        return ContextRequest(
            task_type=asked.task_type,
            text=asked.task,
            keywords=asked.keywords,
            targets=tuple(dict.fromkeys(in_root(self.root, path) for path in asked.targets)),
            settings=msgspec.structs.replace(configured(self.root), **given),
        )


TOOLS = {
    "context_manifest": Tool(ManifestCall, Tools.manifest),
    "context_search": Tool(SearchCall, Tools.search),
    "context_explain": Tool(ExplainCall, Tools.explain),
}


def _file(candidate: Candidate) -> dict[str, Any]:
    """A file without its contents: what it is, why it fits, and where in it to look."""
    spans = next((form.spans for form in candidate.forms if form.mode == "excerpt"), ())
    return {
        "path": candidate.path,
        "category": candidate.category,
        "score": round(candidate.score, 4),
        "reasons": {name: round(points, 4) for name, points in candidate.breakdown.items()},
        "tokens": candidate.forms[-1].tokens,
        "spans": [msgspec.to_builtins(span) for span in spans],
    }
