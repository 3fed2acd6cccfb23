"""The title and the body of a pull request: what it brings, what it leaves out, what checked it, what it cost."""

from collections.abc import Sequence

from branchline.core.model.verdict import Outcome, QualityReport
from branchline.core.run_state import RunState
from branchline.views import costs
from branchline.views.format.markdown import Markdown, code, escaped, section, table
from branchline.views.format.text import count, cut, plain
from branchline.views.recap import titles
from branchline.views.record import Timed

TITLE_COLUMNS = 72
LISTED = 200
LOUD = {
    Outcome.SKIPPED: Markdown("**not checked**"),
    Outcome.ERROR: Markdown("**could not check**"),
    Outcome.FAILED: Markdown("**failed**"),
}


def title(run_id: str, state: RunState) -> str:
    """One line of at most 72 columns: the plan's goal."""
    return cut(plain(state.plan.get("goal", "")), TITLE_COLUMNS) or f"Branchline run {run_id}"


def body(run_id: str, records: Sequence[Timed], state: RunState, report: QualityReport, files: Sequence[str]) -> str:
    """The body in Markdown, for a run that has merged; `report` is that of the merge result, which changes `files`."""
    out = [f"Goal: {escaped(goal)}", ""] if (goal := state.plan.get("goal")) else []
    queue, result = state.pipeline.merge_queue, state.pipeline.integration
    left_out = (queue.excluded if queue else {}) | (result.dropped if result else {})
    fate = {name: f"left out: {reason}" for name, reason in left_out.items()}
    fate |= dict.fromkeys(result.merged if result else (), "merged")
    rows = [(name, text, fate.get(name, "left out")) for name, text in titles(state).items()]
    out += section("Workstreams", table(("workstream", "title", "outcome"), rows))
    seen = [result for result in report.results if result.outcome is not Outcome.NOT_APPLICABLE]
    gates = [(result.gate, LOUD.get(result.outcome, result.outcome.value), result.reason) for result in seen]
    out += section("Gates", table(("gate", "outcome", "reason"), gates))
    out += section("Cost", table(("what", "how much"), costs.rows(costs.summed(costs.calls(records, state)))))
    more = len(files) - LISTED
    listed = [f"- {code(name)}" for name in files[:LISTED]]
    listed += [f"- and {count(more, 'file')} more"] if more > 0 else []
    out += section(f"Files ({len(files)})", [*listed, ""])
    return "\n".join([*out, f"Made by Branchline, run {code(run_id)}."]) + "\n"
