"""What an agent gets to know of the repository: its conventions, and the files that the context broker chooses for it.

The broker's answer is kept before the agent starts. What ails the broker never fails a run.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from branchline.attempt.run import Run
from branchline.config.settings import Settings
from branchline.core.model.agent import ContextFile
from branchline.core.model.agent_spec import BUILT_IN, AgentSpec, chain
from branchline.core.model.forecast import Collision, forecast
from branchline.core.model.manifest import ContextRequest, ContextSettings, Manifest, Span
from branchline.core.model.plan import Plan, Workstream
from branchline.core.planning import WILD, at_once
from branchline.core.rules.linear import compiled
from branchline.core.work import Given
from branchline.errors import InvalidInput
from branchline.git.objects import Entry
from branchline.git.repo import Repo
from branchline.views.format import excerpt

if TYPE_CHECKING:
    from branchline.context.broker import Broker

FOLDER = "manifests"
LONGEST_WARNING = 500  # characters
MOST_TARGETS = 12  # they are in whatever they cost
MOST_WORKSTREAMS = 20  # to look ahead for; each costs a query
NAMED = compiled(r"[\w./@+-]+")
CONVENTIONS = ("AGENTS.md", "CLAUDE.md", "CONTRIBUTING.md")
CHARACTERS = 6000  # of each of them in a prompt
MOST_SPANS = 6  # of one file; more would say less
BYTES_A_TOKEN = 3  # of a file that is not shown whole; fewer than most have, so that no window overflows
TARGET = "part of the task"
WHY = {"target": TARGET, "pin": "always given"}
_TURN = threading.Lock()  # whoever comes first indexes what is new; the others find it done


def plan_request(settings: Settings, text: str) -> ContextRequest:
    """For the planner of a request."""
    agent = settings.planning.agent or settings.agent
    return ContextRequest(task_type="plan", text=text, settings=_settings(settings, agent))


def edit_request(  # noqa: PLR0913 - keyword-only data
    settings: Settings,
    plan: Plan,
    workstream: Workstream,
    paths: Collection[str],
    *,
    agent: str = "",
    failure: str = "",
    targets: Iterable[str] = (),
) -> ContextRequest:
    """For a workstream, in a tree of these paths. `agent`: who works, if not the workstream's own.

    `failure`: what rejected its last batch; that counts before the task. `targets`: files that it must see, before
    those that its scope and its task name by their whole path.
    """
    fixed = [glob for glob in workstream.scope.write if not WILD & set(glob)]
    told = [word.rstrip(".") for word in NAMED.findall(workstream.prompt)]
    wanted = dict.fromkeys([*targets, *fixed, *told])
    return ContextRequest(
        task_type="edit",
        text=task_text(plan, workstream, failure),
        targets=tuple(path for path in wanted if path in paths)[:MOST_TARGETS],
        scope=workstream.scope.write,
        settings=_settings(settings, agent or workstream.agent or settings.agent),
    )


def review_request(settings: Settings, plan: Plan, workstream: Workstream, changed: Iterable[str]) -> ContextRequest:
    """For the reviewer of a workstream's batch; `changed`: the files that the batch has changed or added."""
    return ContextRequest(
        task_type="analyze",
        text=task_text(plan, workstream),
        targets=tuple(changed)[:MOST_TARGETS],
        settings=_settings(settings, settings.review.agent),
    )


def task_text(plan: Plan, workstream: Workstream, failure: str = "") -> str:
    """A workstream's task in words: a title, what went wrong, what to do, what all of it is for."""
    task = workstream.prompt or workstream.title or plan.goal
    title = workstream.title or task.strip().partition("\n")[0]
    return "\n\n".join(dict.fromkeys(text.strip() for text in (title, failure, task, plan.goal) if text.strip()))


def window(settings: Settings, agent: str) -> int | None:
    """Tokens that an agent and each of its fallbacks can be given: one manifest is for whoever answers."""
    specs = {name: AgentSpec(id=name, use=name) for name in BUILT_IN} | {spec.id: spec for spec in settings.agents}
    names = chain(agent, lambda name: specs[name].fallback if name in specs else ())
    limits = (settings.context.window, *(specs[name].context_window for name in names if name in specs))
    return min((limit for limit in limits if limit is not None), default=None)


def _settings(settings: Settings, agent: str) -> ContextSettings:
    return replace(settings.context, window=window(settings, agent))


def choose(
    run: Run, request: ContextRequest, commit: str, tree: str, may_write: Callable[[str], bool] = lambda _path: False
) -> Given:
    """Ask the broker about a tree that grew from `commit`, and keep its answer: what an agent is given of it.

    Guidance that the prompts hold only the beginning of is in, as far as there is room. Raises InvalidInput as `asking`
    does.
    """
    from branchline.context.manifest import store

    pins = dict.fromkeys((*request.settings.pin, *unabridged(run, base_files(run))))
    manifest = asking(run.repo, commit, tree)(replace(request, settings=replace(request.settings, pin=tuple(pins))))
    return Given(
        manifest=store(run.paths.artifacts / FOLDER, manifest),
        files=given(manifest, may_write),
        tokens=manifest.total_tokens,
        warning="; ".join(manifest.warnings)[:LONGEST_WARNING],
    )


def asking(repo: Repo, commit: str, tree: str) -> Callable[[ContextRequest], Manifest]:
    """What answers requests about a tree, for one thread. If something ails the broker: by a manifest without files.

    The answer raises InvalidInput where the settings ask for what there is not: whoever wrote them should know.
    """
    opened: list[Broker] = []

    def answer(request: ContextRequest) -> Manifest:
        try:
            from branchline.context.broker import of_tree

            with _TURN:
                opened.extend(() if opened else [of_tree(repo, commit, tree, settings=request.settings)])
                return opened[0].manifest(request)
        except InvalidInput:
            raise
        except Exception as error:  # noqa: BLE001 - any fault of the index is survivable: an agent can look for its files
            from branchline.context.manifest import fingerprint, params

            return Manifest(
                tree=tree,
                selection_params=params(request),
                config_fingerprint=fingerprint(request.settings),
                tokens_by="estimate",
                total_files=0,
                total_tokens=0,
                truncated=False,
                warnings=(f"no files could be chosen: {type(error).__name__}: {error}",),
            )

    return answer


def foreseen(repo: Repo, commit: str, settings: Settings, plan: Plan) -> tuple[Collision, ...]:
    """The workstreams of a plan that begins at a commit which will probably change the same files; of few alone.

    By what the broker finds for their tasks, within their scopes.
    """
    tree = repo.tree_of(commit)
    paths = frozenset(entry.path for entry in repo.entries(tree) if regular(entry))
    return collisions(settings, plan, paths, asking(repo, commit, tree))


def collisions(
    settings: Settings, plan: Plan, paths: Collection[str], ask: Callable[[ContextRequest], Manifest]
) -> tuple[Collision, ...]:
    """The workstreams that may run at once and are likely to change the same files; none for very large plans."""
    pairs = at_once(plan)
    if not pairs or len(plan.workstreams) > MOST_WORKSTREAMS:
        return ()
    found = []
    for workstream in plan.workstreams:
        manifest = ask(edit_request(settings, plan, workstream, paths))
        found.append((workstream, {file.path: file.score for file in (*manifest.files, *manifest.tests)}))
    return forecast(found, pairs)


def conventions(run: Run, files: Mapping[str, Entry]) -> str:
    """The repository's own guidance for those who change it, marked as its; `files` are those of the run's base."""
    told = _guidance(run, files).items()
    shown = ((path, excerpt.fenced(excerpt.beginning(text, CHARACTERS), "markdown")) for path, text in told)
    return "\n\n".join(f"{path}:\n\n{text}" for path, text in shown)


def unabridged(run: Run, files: Mapping[str, Entry]) -> tuple[str, ...]:
    """The guidance that a prompt holds only the beginning of: it is to be read."""
    return tuple(path for path, text in _guidance(run, files).items() if len(text) > CHARACTERS)


def _guidance(run: Run, files: Mapping[str, Entry]) -> dict[str, str]:
    """The text of each guidance file; one that is a link, or the same as another, is left out."""
    found = {files[path].oid: path for path in reversed(CONVENTIONS) if path in files and regular(files[path])}
    if not found:
        return {}
    texts = {found[oid]: excerpt.legible(excerpt.decoded(data)) for oid, data in run.repo.read_blobs(found)}
    return {path: texts[path] for path in CONVENTIONS if texts.get(path, "").strip()}


def base_files(run: Run) -> dict[str, Entry]:
    """Every file of the run's base by its path."""
    return {entry.path: entry for entry in run.repo.entries(run.repo.tree_of(run.base))}


def regular(entry: Entry) -> bool:
    """Whether it is a file with content of its own: no link, no submodule."""
    return entry.mode.startswith("100")


def given(manifest: Manifest, may_write: Callable[[str], bool] = lambda _path: False) -> tuple[ContextFile, ...]:
    """The files of a manifest as an agent gets them, best first, tests last; `edit` are those that it may write."""

    def length(span: Span) -> int:
        return span.start - span.end

    return tuple(
        ContextFile(
            path=file.path,
            role="edit" if file.mode != "outline" and may_write(file.path) else "read",
            form=file.mode,
            # the longest of one that is not given whole: the others are single lines of its outline
            spans=tuple(sorted(sorted(file.spans, key=length)[:MOST_SPANS], key=lambda span: span.start)),
            tokens=file.tokens if file.mode == "full" else max(file.tokens, file.size_bytes // BYTES_A_TOKEN),
            why=WHY.get(file.included_as) or ", ".join(sorted(file.breakdown, key=lambda s: -file.breakdown[s])[:2]),
        )
        for file in (*manifest.files, *manifest.tests)
    )
