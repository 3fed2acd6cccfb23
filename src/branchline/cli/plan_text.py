"""A plan as text, for whoever has to accept it."""

from branchline.config.settings import Settings
from branchline.core.budget import Budget
from branchline.core.model.plan import Plan
from branchline.core.pipeline import merge_order
from branchline.views.format.text import count, table, wrapped


def plan_lines(plan: Plan, settings: Settings, budget: Budget) -> list[str]:
    """The plan as text, its workstreams in the order in which they will merge, and what it may cost."""
    head = wrapped(plan.goal, indent="") or ["A plan without a goal"]
    rows = [("", "workstream", "agent", "after", "what, and the files it may write")]
    for number, name in enumerate(merge_order(plan), start=1):
        workstream = plan.workstream(name)
        agent = workstream.agent or settings.agent
        after = ", ".join(workstream.depends_on)
        files = " ".join(workstream.scope.write) or "every file that is not protected"
        rows.append((str(number), name, agent, after, workstream.title or files))
        if workstream.title:
            rows.append(("", "", "", "", files))
    size = f"{count(len(plan.workstreams), 'workstream')}, at most {count(settings.max_parallel, 'task')} at once"
    gates = ", ".join([*(gate.id for gate in settings.gates), *settings.presets])
    checks = f"gates: {gates}" if gates else "no gates: nothing will be checked"
    return [*head, f"  {size}; {checks}", *_estimate(plan, budget), "", *table(rows)]


def _estimate(plan: Plan, budget: Budget) -> list[str]:
    """What the workstreams may cost at most in their first round, where there is a limit."""
    if not budget.limited:
        return []
    limits = [budget.run, budget.day]
    each = min((one for one in (budget.attempt, budget.workstream) if one is not None), default=None)
    if each is not None:
        limits.append(each * len(plan.workstreams))
    return [f"  it may spend at most ${min(one for one in limits if one is not None):,.2f} before any repair"]
