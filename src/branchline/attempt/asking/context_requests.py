"""What the context broker is asked on behalf of a planner, a workstream's agent and a reviewer. Pure."""

import re
from collections.abc import Collection, Iterable

from msgspec.structs import replace

from branchline.config.settings import Settings
from branchline.core.model.agent_spec import BUILT_IN, AgentSpec, chain
from branchline.core.model.manifest import ContextRequest, ContextSettings
from branchline.core.model.plan import Plan, Workstream

MOST_TARGETS = 12  # they are in whatever they cost
NAMED = re.compile(r"[\w./@+-]+")
WILD = frozenset("*?[")


def plan_request(settings: Settings, text: str, *, pins: Iterable[str] = ()) -> ContextRequest:
    """For the planner of a request. `pins`: files that it is given in any case, as far as there is room."""
    agent = settings.planning.agent or settings.agent
    return ContextRequest(task_type="plan", text=text, settings=_settings(settings, agent, pins))


def edit_request(  # noqa: PLR0913 - keyword-only data
    settings: Settings,
    plan: Plan,
    workstream: Workstream,
    paths: Collection[str],
    *,
    agent: str = "",
    failure: str = "",
    targets: Iterable[str] = (),
    pins: Iterable[str] = (),
) -> ContextRequest:
    """For a workstream, in a tree of these paths. `agent`: who works, if not the workstream's own.

    `failure`: what rejected its last batch; that counts before the task. `targets`: files that it must see, before
    those that its scope and its task name.
    """
    wanted = dict.fromkeys([*targets, *named(workstream, paths)])
    return ContextRequest(
        task_type="edit",
        text=task_text(plan, workstream, failure),
        targets=tuple(path for path in wanted if path in paths)[:MOST_TARGETS],
        scope=workstream.scope.write,
        settings=_settings(settings, agent or workstream.agent or settings.agent, pins),
    )


def review_request(
    settings: Settings, plan: Plan, workstream: Workstream, changed: Iterable[str], *, pins: Iterable[str] = ()
) -> ContextRequest:
    """For the reviewer of a workstream's batch; `changed`: the files that the batch has changed or added."""
    return ContextRequest(
        task_type="analyze",
        text=task_text(plan, workstream),
        targets=tuple(changed)[:MOST_TARGETS],
        settings=_settings(settings, settings.review.agent, pins),
    )


def task_text(plan: Plan, workstream: Workstream, failure: str = "") -> str:
    """A workstream's task in words: a title, what went wrong, what to do, what all of it is for."""
    task = workstream.prompt or workstream.title or plan.goal
    title = workstream.title or task.strip().partition("\n")[0]
    return "\n\n".join(dict.fromkeys(text.strip() for text in (title, failure, task, plan.goal) if text.strip()))


def named(workstream: Workstream, paths: Collection[str]) -> list[str]:
    """The files of the tree that a workstream's scope or its task names by their whole path, in that order."""
    fixed = [glob for glob in workstream.scope.write if not WILD & set(glob)]
    told = [word.rstrip(".") for word in NAMED.findall(workstream.prompt)]
    return [path for path in dict.fromkeys([*fixed, *told]) if path in paths]


def window(settings: Settings, agent: str) -> int | None:
    """Tokens that an agent and each of its fallbacks can be given: one manifest is for whoever answers."""
    specs = {name: AgentSpec(id=name, use=name) for name in BUILT_IN} | {spec.id: spec for spec in settings.agents}
    names = chain(agent, lambda name: specs[name].fallback if name in specs else ())
    limits = (settings.context.window, *(specs[name].context_window for name in names if name in specs))
    return min((limit for limit in limits if limit is not None), default=None)


def _settings(settings: Settings, agent: str, pins: Iterable[str]) -> ContextSettings:
    context = settings.context
    return replace(context, window=window(settings, agent), pin=tuple(dict.fromkeys((*context.pin, *pins))))
