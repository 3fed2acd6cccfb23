"""What agents are told: the prompts, filled from the plan, the settings and the repository at the run's base."""

import shlex
from collections.abc import Iterable, Mapping, Sequence

from branchline.attempt.asking.conventions import NAMED, conventions
from branchline.attempt.asking.templates import base_files, filled
from branchline.attempt.run import Run, StepContext
from branchline.attempt.scope import asked_about, barred, conflict_of, rejected
from branchline.core.facts import Codegate
from branchline.core.model.agent import ContextFile
from branchline.core.model.manifest import Span
from branchline.core.model.verdict import Gate, GateResult, Outcome, QualityReport, in_order
from branchline.gates.output import shown
from branchline.git.objects import Entry
from branchline.views.format import excerpt
from branchline.views.format.markdown import code

REPAIR_DIFF, REVIEW_DIFF, FEEDBACK, ANSWER = 20_000, 60_000, 8000, 20_000  # characters
LISTED = 200
OVERVIEW = 200  # lines of the tree, where the files that matter are told beside it
OVERLAP = {
    "serialise": "Those that overlap all the same will run one after the other.",
    "refuse": "A plan in which they overlap is refused.",
    "allow": "Those that overlap all the same may conflict when they are merged.",
}


def edit_prompt(ctx: StepContext, context: Sequence[ContextFile]) -> str:
    """The prompt of this attempt's round: the task; in later rounds what was wrong. Raises TemplateError."""
    files, conflict, batch = base_files(ctx.run), conflict_of(ctx), rejected(ctx)
    torn = conflict.paths if conflict else ()
    values = {
        **_task(ctx),
        "round": str(ctx.task.round),
        "rules": filled(ctx.run, files, "rules", _rules(ctx, files, context)).strip("\n"),
        "conflict": _listed(torn),
        "others": _others(ctx, torn),
        "feedback": batch.feedback if batch else "",
        "diff": _rejected_change(ctx, batch) if batch else "",
    }
    return filled(ctx.run, files, "repair" if batch else "conflict" if conflict else "edit", values)


def plan_prompt(
    run: Run, context: Sequence[ContextFile], *, request: str, answer: str = "", errors: Sequence[str] = ()
) -> str:
    """The prompt for a planner. `answer` and `errors`: its last answer and what is wrong with it. Raises TemplateError."""
    files, planning = base_files(run), run.settings.planning
    tree = excerpt.tree(files, OVERVIEW if context else excerpt.LINES_OF_TREE)
    values = {
        "request": request.strip("\n"),
        "tree": excerpt.fenced("\n".join(map(shown, tree))),
        "read_files": _context(context, "read"),
        "max_workstreams": str(planning.max_workstreams),
        "overlap": OVERLAP[planning.overlap],
        "protect": _inline(barred(run)),
        "guarded": _inline(asked_about(run)),
        "gates": _gates(run.gates),
        "conventions": conventions(run, files),
        "answer": excerpt.fenced(excerpt.beginning(answer, ANSWER)) if answer else "",
        "errors": "\n".join(f"- {excerpt.legible(error)}" for error in errors),
    }
    return filled(run, files, "plan", values)


def review_prompt(ctx: StepContext, context: Sequence[ContextFile], old: str, new: str) -> str:
    """The prompt for a reviewer of the change from one tree to another. Raises TemplateError."""
    run, files = ctx.run, base_files(ctx.run)
    changed = [f"{change.status} {shown(change.path)}" for change in run.repo.changes(old, new)]
    values = {
        **_task(ctx),
        "scope": _inline(ctx.workstream.scope.globs),
        "gates": _gates(gate for gate in run.gates if "batch" in gate.phases),
        "conventions": conventions(run, files),
        "files": _bullets(changed),
        "read_files": _context([file for file in context if file.why != NAMED], "read"),
        "diff": excerpt.fenced(excerpt.diff(run.repo.patch(old, new), REVIEW_DIFF), "diff"),
    }
    return filled(run, files, "review", values)


def feedback(report: QualityReport) -> str:
    """What rejected a batch, for the agent that is to repair it: each failed gate with what it printed, trimmed."""
    bad = report.of(Outcome.FAILED, Outcome.ERROR)
    return "\n\n".join(_failure(result, FEEDBACK // len(bad)) for result in bad)


def _failure(result: GateResult, characters: int) -> str:
    lines = [f"## {result.gate}: {shown(result.reason)}"]
    if result.argv:
        lines += ["", f"Command: {_command(result.argv)}"]
    if result.output.strip():
        trimmed = excerpt.end if result.argv else excerpt.beginning  # a list is read from its top, a log from its end
        lines += ["", excerpt.fenced(trimmed(excerpt.legible(result.output), characters))]
    return "\n".join(lines)


def _task(ctx: StepContext) -> dict[str, str]:
    workstream, plan = ctx.workstream, ctx.run.plan
    task = workstream.prompt or workstream.title or plan.goal
    several = len(plan.workstreams) > 1 and plan.goal != task
    return {
        "workstream": workstream.id,
        "title": workstream.title or workstream.id,
        "task": task.strip("\n"),
        "goal": plan.goal if several else "",
    }


def _rules(ctx: StepContext, files: Mapping[str, Entry], context: Sequence[ContextFile]) -> dict[str, str]:
    run, scope = ctx.run, ctx.workstream.scope
    return {
        "scope": _inline(scope.globs),
        "protect": _inline((*scope.protect, *barred(run))),
        "guarded": _inline(asked_about(run)),
        "gates": _gates(run.gates),
        "conventions": conventions(run, files),
        "edit_files": _context(context, "edit"),
        "read_files": _context(context, "read"),
    }


def _context(context: Iterable[ContextFile], role: str) -> str:
    return _bullets([_pointer(file) for file in context if file.role == role])


def _pointer(file: ContextFile) -> str:
    """A file on one line: where in it to look, and what it was chosen for."""
    lines = ", ".join(map(_lines, file.spans))
    why = f" ({shown(file.why)})" if file.why else ""
    return shown(file.path) + (f": lines {lines}" if lines else "") + why


def _lines(span: Span) -> str:
    numbers = str(span.start) if span.start == span.end else f"{span.start}-{span.end}"
    return f"{numbers} {shown(span.name)}".rstrip()


def _gates(gates: Iterable[Gate]) -> str:
    return "\n".join(map(_gate, in_order(gates)))


def _gate(gate: Gate) -> str:
    line = f"- {gate.id}: {_command(gate.verify)}"
    if "{files}" in gate.verify:
        line += " (`{files}`: the changed files)"
    if gate.cwd != ".":
        line += f", in {code(gate.cwd)}"
    if gate.when:
        line += f", if {_inline(gate.when)} changed"
    return line + (f"; before it, {_command(gate.fix)} corrects what it can" if gate.fix else "")


def _command(argv: Sequence[str]) -> str:
    return code(shown(shlex.join(argv)))


def _others(ctx: StepContext, conflict: Sequence[str]) -> str:
    """The other workstreams that changed a file of the conflict, with what they were asked."""
    touching = [
        other
        for other in ctx.run.plan.workstreams
        if other.id != ctx.task.workstream and _touched(ctx, other.id) & set(conflict)
    ]
    asked = ((other, other.prompt or other.title or ctx.run.plan.goal) for other in touching)
    return "\n\n".join(f"## {other.title or other.id}\n\n{text.strip()}" for other, text in asked)


def _touched(ctx: StepContext, workstream: str) -> set[str]:
    batch = ctx.of(workstream).batch
    return set(batch.files) if batch else set()


def _rejected_change(ctx: StepContext, batch: Codegate) -> str:
    repo = ctx.run.repo
    patch = repo.patch(repo.tree_of(ctx.ws.base), batch.tree)
    return excerpt.fenced(excerpt.diff(patch, REPAIR_DIFF), "diff") if patch else ""


def _listed(paths: Sequence[str]) -> str:
    return _bullets([shown(path) for path in paths])


def _bullets(items: Sequence[str]) -> str:
    more = [f"and {len(items) - LISTED:,} more"] if len(items) > LISTED else []
    return "\n".join(f"- {item}" for item in (*items[:LISTED], *more))


def _inline(globs: Iterable[str]) -> str:
    return ", ".join(map(code, globs))
