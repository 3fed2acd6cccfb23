"""The title and the body of a pull request: what it brings, what it leaves out, what checked it, what it cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from branchline.core.model.plan import Plan
from branchline.core.model.verdict import Outcome, QualityReport
from branchline.core.run_state import RunState
from branchline.views import costs
from branchline.views.format.markdown import code, escaped, section, table
from branchline.views.format.text import count, cut, plain
from branchline.views.record import Timed

TITLE_COLUMNS = 72
LISTED = 200


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of the change: gate reports by what they looked at (a workstream, `integration`), its files."""

    reports: Mapping[str, QualityReport]
    files: Sequence[str]


def title(run_id: str, plan: Plan) -> str:
    """One line of at most 72 columns: the plan's goal."""
    return cut(plain(plan.goal), TITLE_COLUMNS) or f"Branchline run {run_id}"


def body(run_id: str, records: Sequence[Timed], state: RunState, plan: Plan, evidence: Evidence) -> str:
    """The body in Markdown, for a run that has merged."""
    out = [f"Goal: {escaped(plan.goal)}", ""] if plan.goal else []
    queue, result = state.pipeline.merge_queue, state.pipeline.integration
    left_out = (queue.excluded if queue else {}) | (result.dropped if result else {})
    fate = {name: f"left out: {reason}" for name, reason in left_out.items()}
    fate |= dict.fromkeys(result.merged if result else (), "merged")
    rows = [(escaped(w.id), escaped(w.title), escaped(fate.get(w.id, "left out"))) for w in plan.workstreams]
    out += section("Workstreams", table(("workstream", "title", "outcome"), rows))
    out += section("Gates", _gates(evidence.reports))
    out += section("Cost", table(("what", "how much"), costs.rows(costs.costs(records, state))))
    more = len(evidence.files) - LISTED
    files = [f"- {code(name)}" for name in evidence.files[:LISTED]]
    files += [f"- and {count(more, 'file')} more"] if more > 0 else []
    out += section(f"Files ({len(evidence.files)})", [*files, ""])
    return "\n".join([*out, f"Made by Branchline, run {code(run_id)}."]) + "\n"


def _gates(reports: Mapping[str, QualityReport]) -> list[str]:
    """One row a gate and outcome; a gate that checked nothing says so in bold."""
    found: dict[tuple[str, Outcome, str], list[str]] = {}
    for where, report in reports.items():
        for result in report.results:
            if result.outcome is not Outcome.NOT_APPLICABLE:
                found.setdefault((result.gate, result.outcome, result.reason), []).append(where)
    shown = {Outcome.SKIPPED: "**not checked**", Outcome.ERROR: "**could not check**", Outcome.FAILED: "**failed**"}
    return table(
        ("gate", "outcome", "where", "reason"),
        (
            (escaped(gate), shown.get(outcome, outcome.value), escaped(", ".join(where)), escaped(reason))
            for (gate, outcome, reason), where in found.items()
        ),
    )
