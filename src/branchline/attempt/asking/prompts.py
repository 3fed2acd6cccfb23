"""What agents are told: the prompts, filled from the plan, the settings and the repository at the run's base.

Their templates are those that come with Branchline, or those that the repository has in their place.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from branchline.attempt.asking.context import TARGET, base_files, conventions, regular
from branchline.attempt.run import Run, StepContext
from branchline.attempt.scope import conflict_of, guarded_if, rejected
from branchline.core.model.agent import ContextFile
from branchline.core.model.verdict import Gate, Outcome, QualityReport, in_order
from branchline.git.objects import Entry
from branchline.views.format import excerpt
from branchline.views.format.markdown import code
from branchline.views.format.template import TemplateError, faults, render
from branchline.views.format.text import shown

REPAIR_DIFF, REVIEW_DIFF, FEEDBACK, ANSWER = 20_000, 60_000, 8000, 20_000  # characters
LISTED = 200
OVERVIEW = 200  # lines of the tree, where the files that matter are told beside it
OVERLAP = {
    "serialise": "Those that overlap all the same will run one after the other.",
    "refuse": "A plan in which they overlap is refused.",
    "allow": "Those that overlap all the same may conflict when they are merged.",
}

OVERRIDES = ".branchline/prompts/"
ENDING = ".md"
_WORK = {"goal", "workstream", "title", "task", "round", "rules", "feedback", "diff", "conflict", "others"}
_KNOWN = {"read_files", "gates", "conventions"}
NAMES = {
    "edit": _WORK,
    "repair": _WORK,
    "conflict": _WORK,
    "rules": _KNOWN | {"scope", "protect", "guarded", "edit_files"},
    "plan": _KNOWN | {"request", "tree", "max_workstreams", "overlap", "protect", "guarded", "answer", "errors"},
    "review": _KNOWN | {"goal", "workstream", "title", "task", "scope", "files", "diff"},
}
"""The templates, and the values that each may name."""


def edit_prompt(ctx: StepContext, context: Sequence[ContextFile]) -> str:
    """The prompt of this attempt's round: the task; in later rounds what was wrong. Raises TemplateError."""
    run, scope, conflict, batch = ctx.run, ctx.workstream.scope, conflict_of(ctx), rejected(ctx)
    files, torn = base_files(run), conflict.paths if conflict else ()
    patch = run.repo.patch(run.repo.tree_of(ctx.ws.base), batch.tree) if batch else b""
    rules = {
        "scope": _inline(scope.globs),
        "protect": _inline((*scope.protect, *guarded_if(run, "reject"))),
        "guarded": _inline(guarded_if(run, "wait")),
        "gates": _gates(run.gates),
        "conventions": conventions(run, files),
        "edit_files": _context(context, "edit"),
        "read_files": _context(context, "read"),
    }
    values = {
        **_task(ctx),
        "round": str(ctx.task.round),
        "rules": filled(run, files, "rules", rules).strip("\n"),
        "conflict": _bullets([shown(path) for path in torn]),
        "others": _others(ctx, torn),
        "feedback": batch.feedback if batch else "",
        "diff": excerpt.fenced(excerpt.diff(patch, REPAIR_DIFF), "diff") if patch else "",
    }
    return filled(run, files, "repair" if batch else "conflict" if conflict else "edit", values)


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
        "protect": _inline(guarded_if(run, "reject")),
        "guarded": _inline(guarded_if(run, "wait")),
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
        "read_files": _context([file for file in context if file.why != TARGET], "read"),
        "diff": excerpt.fenced(excerpt.diff(run.repo.patch(old, new), REVIEW_DIFF), "diff"),
    }
    return filled(run, files, "review", values)


def filled(run: Run, files: Mapping[str, Entry], name: str, values: Mapping[str, str]) -> str:
    """The prompt `name`. `files`: those of the run's base. Raises TemplateError if the repository's template is broken."""
    path = f"{OVERRIDES}{name}{ENDING}"
    if path in files:
        return render(_override(run, files[path]), values, name=path)
    own = Path(__file__).with_name("prompt_files").joinpath(f"{name}{ENDING}")
    return render(own.read_text("utf-8"), values, name=own.name)


def problems(run: Run) -> list[str]:
    """What is wrong with the repository's own templates at the run's base, each with file, line and column."""
    found = []
    for path, entry in base_files(run).items():
        if not (path.startswith(OVERRIDES) and path.endswith(ENDING)) or path.endswith("/README.md"):
            continue
        name = path.removeprefix(OVERRIDES).removesuffix(ENDING)
        if name not in NAMES:
            found.append(f"{path}: there is no prompt '{name}'; known are {', '.join(sorted(NAMES))}")
            continue
        try:
            found += [f"{path}:{fault}" for fault in faults(_override(run, entry), NAMES[name])]
        except TemplateError as error:
            found.append(error.message)
    return found


def _override(run: Run, entry: Entry) -> str:
    if not regular(entry):
        raise TemplateError(f"{entry.path} is not a regular file", hint=f"replace {entry.path} by a file")
    try:
        return run.repo.read_blob(entry.oid).decode()
    except UnicodeDecodeError as error:
        raise TemplateError(f"{entry.path} is not UTF-8: {error.reason} at byte {error.start}") from error


def feedback(report: QualityReport) -> str:
    """What rejected a batch, for the agent that is to repair it: each failed gate with what it printed, trimmed."""
    bad, parts = report.of(Outcome.FAILED, Outcome.ERROR), []
    for result in bad:
        parts.append(f"## {result.gate}: {shown(result.reason)}")
        if result.argv:
            parts[-1] += f"\n\nCommand: {_command(result.argv)}"
        if result.output.strip():
            # A list is read from its top, a log from its end.
            trimmed = excerpt.end if result.argv else excerpt.beginning
            parts[-1] += "\n\n" + excerpt.fenced(trimmed(excerpt.legible(result.output), FEEDBACK // len(bad)))
    return "\n\n".join(parts)


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


def _context(context: Iterable[ContextFile], role: str) -> str:
    """The files on a line each: where in it to look, and what it was chosen for."""
    lines = []
    for file in (one for one in context if one.role == role):
        ends = (
            (span, str(span.start) if span.start == span.end else f"{span.start}-{span.end}") for span in file.spans
        )
        spans = ", ".join(f"{numbers} {shown(span.name)}".rstrip() for span, numbers in ends)
        why = f" ({shown(file.why)})" if file.why else ""
        lines.append(shown(file.path) + (f": lines {spans}" if spans else "") + why)
    return _bullets(lines)


def _gates(gates: Iterable[Gate]) -> str:
    lines = []
    for gate in in_order(gates):
        line = f"- {gate.id}: {_command(gate.verify)}"
        if "{files}" in gate.verify:
            line += " (`{files}`: the changed files)"
        if gate.cwd != ".":
            line += f", in {code(gate.cwd)}"
        if gate.when:
            line += f", if {_inline(gate.when)} changed"
        lines.append(line + (f"; before it, {_command(gate.fix)} corrects what it can" if gate.fix else ""))
    return "\n".join(lines)


def _command(argv: Sequence[str]) -> str:
    return code(shown(shlex.join(argv)))


def _others(ctx: StepContext, conflict: Sequence[str]) -> str:
    """The other workstreams that changed a file of the conflict, with what they were asked."""
    parts = []
    for other in ctx.run.plan.workstreams:
        batch = ctx.of(other.id).batch
        if other.id != ctx.task.workstream and batch and set(batch.files) & set(conflict):
            text = other.prompt or other.title or ctx.run.plan.goal
            parts.append(f"## {other.title or other.id}\n\n{text.strip()}")
    return "\n\n".join(parts)


def _bullets(items: Sequence[str]) -> str:
    more = [f"and {len(items) - LISTED:,} more"] if len(items) > LISTED else []
    return "\n".join(f"- {item}" for item in (*items[:LISTED], *more))


def _inline(globs: Iterable[str]) -> str:
    return ", ".join(map(code, globs))
