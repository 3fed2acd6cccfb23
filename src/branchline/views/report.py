"""A run in Markdown: its report (what was asked, what came of it, how it went), and the text of its pull request."""

from collections.abc import Sequence

from branchline.core.facts import AgentCalled, Codegate, MergeQueue, PlanComplete
from branchline.core.model.verdict import Outcome, QualityReport
from branchline.core.outcome import merge_result
from branchline.core.run_state import RunState
from branchline.views import costs, timeline
from branchline.views.format.markdown import Markdown, code, escaped, section, table
from branchline.views.format.text import count, cut, duration, moment, plain
from branchline.views.recap import FEW_JUDGED, agent_rows, judged, judged_rows, landing, skipped_gates, titles
from branchline.views.record import Timed, last_at
from branchline.views.status import progress, shown_state

TITLE_COLUMNS = 72
LISTED = 200
JUDGED = "Changed by what is judged"
LOUD = {
    Outcome.SKIPPED: Markdown("**not checked**"),
    Outcome.ERROR: Markdown("**could not check**"),
    Outcome.FAILED: Markdown("**failed**"),
}


def report(run_id: str, records: Sequence[Timed], state: RunState) -> str:
    """The report of a run, ended or about to end."""
    elapsed = duration(max(0, last_at(records) - records[0].at))
    out = [f"# Run {run_id}", "", f"Started {moment(state.started_at)}, took {elapsed}. {_outcome(records, state)}", ""]
    if goal := state.plan.get("goal"):
        out += [f"Goal: {escaped(goal)}", ""]
    # Who made the plan and who accepted it, where that was not the person who gave it.
    planners = [r.event.agent for r in records if isinstance(r.event, AgentCalled) and r.event.role == "planner"]
    if planners:
        accepted = [r.event.by for r in records if isinstance(r.event, PlanComplete) and r.event.by]
        by = f", accepted by {escaped(accepted[-1])}" if accepted else ""
        out += [f"Planned by {escaped(planners[-1])}{by}.", ""]
    named, called, ends = titles(state), costs.calls(records, state), []
    for row in progress(state, timeline.attempts(records), records[-1].at):
        at = (shown_state(row, "running"), row.step, str(row.round), duration(row.elapsed_ms))
        ends += [(row.workstream, named.get(row.workstream, ""), *at, row.reason)] if row.workstream else []
    out += section("Workstreams", table(("workstream", "title", "state", "at", "rounds", "time", "reason"), ends))
    verdicts = [record.event for record in records if isinstance(record.event, Codegate)]
    rows = ((v.workstream, v.verdict, code(v.batch), code(v.report), v.reason) for v in verdicts)
    out += section("Gates", table(("workstream", "verdict", "batch", "report", "reason"), rows))
    out += section("Not checked", table(("gate", "where", "reason"), skipped_gates(state)))
    out += section(JUDGED, table(("workstream", "path", "what"), judged_rows(judged(state), LISTED)))
    out += section("Merge", _merge(records, state))
    out += section("Cost", table(("what", "how much"), costs.rows(costs.summed(called))))
    out += section("Agents", table(("workstream", "agents", "tokens", "cost"), agent_rows(records, state)))
    given = []
    for call in called:
        size = (f"{call.context_files:,}", f"{call.context_tokens:,}", code(call.manifest))
        whose = (call.workstream or call.role, str(call.round), call.agent)
        given += [(*whose, *size, call.context_warning)] if call.manifest else []
    header = ("workstream", "round", "agent", "files", "tokens", "manifest", "warning")
    out += section("Context", table(header, given))
    out += section("Timeline", ["```text", *timeline.lines(records, columns=100), "```"])
    return "\n".join(out).rstrip() + "\n"


def _outcome(records: Sequence[Timed], state: RunState) -> str:
    end = f"Ended {state.end.status} (exit code {state.end.exit_code}). " if state.end else ""
    merged, ship, _ = landing(records)
    if ship:
        tag = f", tag {code(ship.tag)}" if ship.tag else ""
        return f"{end}Shipped to {code(ship.target)} as {code(ship.commit)}{tag}."
    if merged:
        return f"{end}Not shipped; the merge result is {code(merged.branch)} at {code(merged.commit)}."
    return f"{end}Nothing was shipped."


def _merge(records: Sequence[Timed], state: RunState) -> list[str]:
    """The order fixed beforehand, and what became of each workstream in it."""
    queue = next((r.event for r in reversed(records) if isinstance(r.event, MergeQueue)), None)
    if queue is None:
        return []
    result, rows = merge_result(state), []
    merged, dropped = (result.merged, result.dropped) if result else ((), {})
    for number, name in enumerate(queue.order, start=1):
        word = "merged" if name in merged else "dropped" if name in dropped else "not merged"
        rows.append((str(number), name, word, dropped.get(name, "")))
    rows += [("", name, "excluded", reason) for name, reason in queue.excluded.items()]
    return table(("order", "workstream", "outcome", "reason"), rows)


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
    changed = judged_rows(judged(state, result.merged if result else ()), FEW_JUDGED)
    out += section(JUDGED, table(("workstream", "path", "what"), changed))
    out += section("Cost", table(("what", "how much"), costs.rows(costs.summed(costs.calls(records, state)))))
    more = len(files) - LISTED
    listed = [f"- {code(name)}" for name in files[:LISTED]]
    listed += [f"- and {count(more, 'file')} more"] if more > 0 else []
    out += section(f"Files ({len(files)})", [*listed, ""])
    return "\n".join([*out, f"Made by Branchline, run {code(run_id)}."]) + "\n"
