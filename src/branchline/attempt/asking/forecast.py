"""Which workstreams of a plan will probably collide: what the context broker finds for their tasks, within their scopes."""

from collections.abc import Callable, Collection

from branchline.attempt.asking.context_requests import edit_request
from branchline.attempt.asking.conventions import regular
from branchline.attempt.asking.manifest import asking
from branchline.config.settings import Settings
from branchline.core.model.forecast import Collision, forecast
from branchline.core.model.manifest import ContextRequest, Manifest
from branchline.core.model.plan import Plan
from branchline.core.planning import at_once
from branchline.git.repo import Repo

MOST_WORKSTREAMS = 20  # to look ahead for; each costs a query


def foreseen(repo: Repo, commit: str, settings: Settings, plan: Plan) -> tuple[Collision, ...]:
    """The collisions of a plan that begins at a commit."""
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
