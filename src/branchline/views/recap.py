"""What a run came to: what landed, what did not and why, what nobody checked, where things are, what to type next."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from branchline.core import events as e
from branchline.core import facts as f
from branchline.core.model.forecast import Collision
from branchline.core.model.limits import WEAK
from branchline.core.model.sandbox import ASKED_FOR, SandboxFact
from branchline.core.model.verdict import Outcome
from branchline.core.outcome import EXIT_UNCHECKED, workstream_outcomes
from branchline.core.rules.remark import KINDS, Remark
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.views.costs import NOBODY, brief, by_workstream, calls, summed
from branchline.views.format.text import count, duration, paragraphs, plain, short, shown, table, wrapped
from branchline.views.record import Timed, last_at
from branchline.views.status import Waiting, Word, collision_lines, next_commands, status_word, waiting, waiting_lines

EXIT_WAITING, EXIT_INTERRUPTED = 4, 130
FEW_JUDGED = 12
THE_PLAN = "(the plan)"
INSTALL = "pip install 'branchline[sandbox]'"


class Integration(msgspec.Struct, frozen=True, kw_only=True):
    """The branch with the merge result."""

    branch: str
    commit: str


class Shipped(msgspec.Struct, frozen=True, kw_only=True):
    """The branch that moved and where to; `tag` is empty where none was asked for."""

    target: str
    commit: str
    tag: str


class Landing(NamedTuple):
    """The merge result that stands, where it went (None: it stays on its branch), and what both warn of, each once."""

    integration: Integration | None
    shipped: Shipped | None
    warnings: tuple[str, ...]


class WorkstreamEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a workstream ended; COMPLETED: it landed."""

    id: str
    state: State
    reason: str


class Judged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a workstream does to that by which it is judged; `more` remarks are not listed."""

    workstream: str
    remarks: tuple[Remark, ...]
    more: int = 0


class Recap(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `run --json` and `resume --json` print. `collisions`: those foreseen in a plan that waits, if any.

    `waiting`: what a person has to say yes or no to. `warnings`: of the merge, and of its shipping. `judged`: of the
    approved batches.
    """

    run_id: str
    status: Word
    exit_code: int
    run_dir: str
    integration: Integration | None
    shipped: Shipped | None
    workstreams: tuple[WorkstreamEnd, ...]
    collisions: tuple[Collision, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    warnings: tuple[str, ...] = ()
    judged: tuple[Judged, ...] = ()


def recap(run_id: str, records: Sequence[Timed], state: RunState, run_dir: str) -> Recap:
    """The recap of a run that nobody drives any more; one that has not ended waits for a person or was interrupted."""
    word = status_word(state, live=False)
    unended = EXIT_WAITING if word == "waiting" else EXIT_INTERRUPTED
    return Recap(
        run_id=run_id,
        status=word,
        exit_code=unended if state.end is None else state.end.exit_code,
        run_dir=run_dir,
        **landing(records)._asdict(),
        workstreams=msgspec.convert(workstream_outcomes(state), tuple[WorkstreamEnd, ...], from_attributes=True),
        collisions=state.proposed.collisions if state.proposed and state.plan_waits else (),
        waiting=waiting(state),
        judged=judged(state),
    )


def landing(records: Iterable[Timed]) -> Landing:
    """What was merged and shipped. Where the target had moved, the ship step made the merge result anew."""
    merged: f.IntegrationComplete | None = None
    ship: f.ShipComplete | None = None
    shipped = None
    for record in records:
        match record.event:
            case f.IntegrationComplete() as event:
                merged, ship = event, None
            case f.ShipComplete() as event:
                ship = event
                shipped = Shipped(target=event.target, commit=event.commit, tag=event.tag) if event.target else shipped
    found = Integration(branch=merged.branch, commit=(ship or merged).commit) if merged else None
    told = dict.fromkeys(text for event in (merged, ship) if event for text in event.warnings)
    return Landing(found, shipped, tuple(told))


def skipped_gates(state: RunState) -> list[tuple[str, str, str]]:
    """(gate, where, reason) of every gate that checked nothing, as the facts of the latest tasks tell."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for record in state.current().values():
        gates = record.fact.gates if isinstance(record.fact, f.GatedFact) else ()
        for gate in (one for one in gates if one.outcome == Outcome.SKIPPED):
            found.setdefault((gate.gate, gate.reason), {})[record.task.workstream or record.task.step] = None
    return [(gate, ", ".join(where), reason) for (gate, reason), where in found.items()]


def judged(state: RunState, among: Collection[str] | None = None) -> tuple[Judged, ...]:
    """What the approved batches do to that by which they are judged; `among`: only those of these workstreams."""
    facts = [record.fact for record in state.current().values() if isinstance(record.fact, f.Codegate)]
    return tuple(
        Judged(workstream=one.workstream, remarks=one.judged, more=one.judged_more)
        for one in facts
        if one.judged and one.verdict == "approved" and (among is None or one.workstream in among)
    )


def judged_rows(found: Iterable[Judged], most: int) -> list[tuple[str, str, str]]:
    """(workstream, path, what) of the first remarks, deleted tests first; the last row counts the rest."""
    every = [(one.workstream, remark) for one in found for remark in one.remarks]
    every.sort(key=lambda row: KINDS.index(row[1].kind))
    rows = [(name, shown(remark.path), str(remark)) for name, remark in every[:most]]
    left = len(every[most:]) + sum(one.more for one in found)
    return [*rows, ("", "", f"and {left} more")] if left else rows


def titles(state: RunState) -> dict[str, str]:
    """The title of each workstream of the accepted plan, by its id and in the plan's order."""
    return {str(w["id"]): str(w.get("title", "")) for w in state.plan.get("workstreams", ())}


def lines(recap: Recap, records: Sequence[Timed], state: RunState) -> list[str]:
    """The recap as text."""
    elapsed = duration(max(0, last_at(records) - records[0].at))
    out = [f"Run {recap.run_id}: {recap.status}, {elapsed}, exit code {recap.exit_code}"]
    unchecked = table(skipped_gates(state)) if recap.exit_code == EXIT_UNCHECKED else []
    first = ("NOT CHECKED: no gate has checked this change", unchecked)
    for title, body in (first, *_waits(recap, state), *_sections(recap, records, state)):
        out += ["", title, *(body or ())] if body != [] else []
    return out


def _sections(recap: Recap, records: Sequence[Timed], state: RunState) -> Iterator[tuple[str, list[str] | None]]:
    """The sections, each with its body; None: it needs none; empty: there is nothing to say."""
    named = titles(state)
    good = [w for w in recap.workstreams if w.state == State.COMPLETED]
    bad = [w for w in recap.workstreams if w.state != State.COMPLETED]
    merged, where = recap.integration, ""
    if recap.shipped:
        tag = f", tag {plain(recap.shipped.tag)}" if recap.shipped.tag else ""
        where = f" on {plain(recap.shipped.target)} as {short(recap.shipped.commit)}{tag}"
    elif merged:
        where = f" on {plain(merged.branch)} as {short(merged.commit)}"
    yield f"Landed{where}", table([(w.id, named.get(w.id, "")) for w in good])
    yield "Warnings", paragraphs(recap.warnings)
    yield (
        "CHANGED BY WHAT IS JUDGED: look at it before you trust the gates",
        table(judged_rows(recap.judged, FEW_JUDGED)),
    )
    yield "Not landed", table([(w.id, w.state.lower() + (f": {w.reason}" if w.reason else "")) for w in bad])
    if state.kind == "graph":
        tasks = list(state.current().values())
        done = sum(record.state == State.COMPLETED for record in tasks)
        undone = [r for r in tasks if r.state not in {State.COMPLETED, State.SKIPPED}]
        yield f"{done} of {count(len(tasks), 'task')} completed", None
        yield "Not completed", table([(r.task.id, r.state.lower(), r.reason) for r in undone])
    elif state.end and (state.stopped_by or state.cancel_requested):
        yield "Why", wrapped(state.end.reason, indent="  ")
    if recap.exit_code != EXIT_UNCHECKED:
        skipped = skipped_gates(state)
        yield f"NOT CHECKED: {count(len(skipped), 'gate')} skipped", table(skipped)
    if good and state.kind == "pipeline" and not state.pins.get("settings", {}).get("gates"):
        yield "NOT CHECKED: there are no gates", wrapped("Add gates: or presets: to branchline.yaml.", indent="  ")
    yield from sandbox_sections(records, state)
    # Ignored files and by-products that agents made.
    facts = [record.fact for record in state.current().values() if isinstance(record.fact, f.ExecuteWsComplete)]
    yield "Not in the batches", table([(fact.workstream, text) for fact in facts for text in fact.left_out])
    yield "NOT IN GIT: too large, or nothing that git holds; kept as it is", table(not_saved(records))
    yield "Agents", table(agent_rows(records, state))
    places = [
        ("run folder", recap.run_dir),
        ("integration", f"{merged.branch} at {short(merged.commit)}" if merged else ""),
        ("saved work", f"branchline restore {recap.run_id}" if recap.workstreams else ""),
    ]
    yield "Where things are", table([place for place in places if place[1]])
    commands = [*next_commands(recap.run_id, recap.status, state)]
    if good and merged and not recap.shipped and recap.status != "waiting":
        commands.append(f"git merge {merged.branch}")
    yield "Next", [f"  {plain(command)}" for command in commands]


def not_saved(records: Iterable[Timed]) -> list[tuple[str, str]]:
    """(workstream, what) of everything in a worktree that its last save left out, or why there was none."""
    last = {r.event.workstream: r.event for r in records if isinstance(r.event, f.WorktreeSaved)}
    rows = [(name, text) for name, event in last.items() for text in event.left_out]
    return rows + [(name, f"its worktree stays: {event.kept}") for name, event in last.items() if event.kept]


def agent_rows(records: Iterable[Timed], state: RunState) -> list[tuple[str, str, str, str]]:
    """(workstream, its agents, tokens, cost) of every workstream that an agent worked for, and of all together."""
    found = calls(records, state)
    names: dict[str, dict[str, None]] = {}
    for call in found:
        names.setdefault(call.workstream or NOBODY, {})[call.agent] = None
    total = summed(found)
    if not (total.cost_usd.known or total.cost_usd.unknown_attempts or total.input_tokens.known):
        return []  # scripted agents: a table of nothing
    rows = [
        (THE_PLAN if share.name == NOBODY else share.name, ", ".join(filter(None, names[share.name])), share.costs)
        for share in by_workstream(found, state)
    ]
    if len(rows) > 1:
        rows.append(("all", "", total))
    return [(name, agents, *brief(costs)) for name, agents, costs in rows]


def _waits(recap: Recap, state: RunState) -> Iterator[tuple[str, list[str]]]:
    """What a person has to say yes or no to: a plan, with what our checks warn of, or changes."""
    yield "Waits for a person", waiting_lines(recap.waiting)
    if state.proposed is None or not state.plan_waits:
        return
    streams = state.proposed.plan.get("workstreams", ())
    yield "The plan waits to be accepted", table([(w["id"], w.get("title", "")) for w in streams])
    if collisions := collision_lines(state.proposed.collisions):
        yield collisions[1], collisions[2:]
    yield "Warnings", paragraphs(state.proposed.warnings)


def sandbox_of(records: Iterable[Timed], state: RunState) -> SandboxFact | None:
    """The one that the run used last; None in an older ledger, and for a plain graph."""
    found = msgspec.convert(state.pins["sandbox"], SandboxFact) if "sandbox" in state.pins else None
    later = [r.event.sandbox for r in records if isinstance(r.event, e.RunResumed) and r.event.sandbox]
    return later[-1] if later else found


def sandbox_sections(records: Sequence[Timed], state: RunState) -> Iterator[tuple[str, list[str]]]:
    """What a recap has to say aloud: there was no sandbox; what it did not let out; processes could get away."""
    fact = sandbox_of(records, state)
    if fact is not None and fact.rung < 3:
        told, asked = "Agents and gates could read and write what you can", fact.why == ASKED_FOR and fact.rung == 1
        told += ", as you asked (rung 1)." if asked else f": {fact.why}. Type: {INSTALL}"
        yield "NOT SANDBOXED", wrapped(told, indent="  ")
    called = [r.event for r in records if isinstance(r.event, f.AgentCalled)]
    refused = [(one.workstream or one.role, one.agent, host) for one in called for host in one.refused_hosts]
    if refused:
        yield "Not let out by the sandbox (sandbox.network)", table([*dict.fromkeys(refused)])
    unchecked = [(one.workstream or one.role, one.agent, one.unchecked) for one in called if one.unchecked]
    if unchecked:
        yield "COULD NOT CHECK what agents left in their homes", table([*dict.fromkeys(unchecked)])
    checked = state.pipeline.preflight
    if any(one.containment == "group" for one in called) or (checked and checked.containment == "group"):
        yield "WEAKLY HELD", wrapped(f"{WEAK[0].upper()}{WEAK[1:]}.", indent="  ")
