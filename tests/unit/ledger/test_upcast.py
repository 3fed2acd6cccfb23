"""Ledgers of version 1 read as if they had been written today: nothing that their outputs had is lost."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from branchline.core.events import RunResumed, Transition
from branchline.core.facts import Codegate, MergeConflict, Preflight, RunPrepared
from branchline.core.run_state import RunState
from branchline.ledger.codec import GENESIS, VERSION, Record, encode
from branchline.ledger.log import Reading, behind, verified
from histories.decisions import ledgers

OLD = [path for path in ledgers() if '"v":1,"sha":' in path.read_text("utf-8").partition("\n")[0]]
RENAMED = {"planning": {"plan": "file"}, "merge": {"repair": "workstream", "commit_of": "commit"}}
DERIVED = {"skipped", "run_id", "traceback", "hint"}  # of the gates, of the ledger itself, of the move


def reading_of(data: bytes) -> Reading:
    return verified(data, None, json.loads(data.split(b"\n", 1)[0])["run_id"])


def chained(bodies: list[dict[str, Any]]) -> bytes:
    """The records as a ledger of version 1."""
    lines, prev = [], GENESIS
    for seq, body in enumerate(bodies):
        members = {**body, "prev": prev, "seq": seq, "v": 1}
        members.pop("sha", None)
        head = json.dumps(members, sort_keys=True, separators=(",", ":"))[:-1].encode()
        prev = hashlib.sha256(head).hexdigest()
        lines.append(b'%s,"sha":"%s"}\n' % (head, prev.encode()))
    return b"".join(lines)


def bodies(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def history(name: str) -> Path:
    return next(path for path in OLD if path.stem.endswith(f"-{name}"))


def located(value: Any) -> Any:
    """A path of the run's folder, from there."""
    return value.partition("/.runs/01HF0000000000000000000000/")[2] or value if isinstance(value, str) else value


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_everything_that_outputs_had_is_in_facts(path: Path) -> None:
    state, seen = RunState(), 0
    for record in reading_of(path.read_bytes()).records:
        state.apply(record.event)
        if state.kind == "graph" or not isinstance(record.event, Transition) or not record.event.outputs:
            continue
        one, seen = state.records[record.event.task_id], seen + 1
        names = RENAMED.get(one.task.step, {})
        there = one.handed_on()
        for key, value in record.event.outputs.items():
            if one.task.step == "worktrees" or key not in DERIVED:
                name = names.get(key, key)
                assert there[name] == (value if name == "path" else located(value)), (record.seq, key)
            elif key == "skipped":
                gates = [gate for gate in there["gates"] if gate["outcome"] == "skipped"]
                assert [{"gate": gate["gate"], "reason": gate["reason"]} for gate in gates] == value
        assert one.fact is not None
    assert seen or state.kind == "graph"


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_a_record_more_has_the_number_and_the_hash_of_its_move(path: Path) -> None:
    reading = reading_of(path.read_bytes())
    assert reading.fault is None
    assert reading.count == len(bodies(path))
    assert [record.seq for record in reading.records] == sorted(record.seq for record in reading.records)
    for record, after in zip(reading.records, reading.records[1:], strict=False):
        if record.seq == after.seq:
            assert (record.sha, record.offset, record.at) == (after.sha, after.offset, after.at)
            assert isinstance(after.event, Transition)


def test_a_conflict_becomes_a_fact() -> None:
    records = reading_of(history("conflict-repaired").read_bytes()).records
    (conflict,) = [record.event for record in records if isinstance(record.event, MergeConflict)]
    assert (conflict.task_id, conflict.workstream) == ("task_020_merge", "b")
    assert conflict.paths == ("shared.txt",)
    assert conflict.reason == "it conflicts with a in shared.txt"


def test_preflight_and_run_init_told_nothing() -> None:
    records = reading_of(history("success").read_bytes()).records
    first, second = [record.event for record in records if isinstance(record.event, Preflight | RunPrepared)]
    assert isinstance(first, Preflight)
    assert (first.report, first.containment) == ("artifacts/preflight.json", "sandbox")
    assert isinstance(second, RunPrepared)
    assert second.target == "main"


def test_a_batch_that_repeated_what_was_rejected_stands_again() -> None:
    told = bodies(history("partial"))
    place = next(
        n for n, body in enumerate(told) if body["event"] == "codegate" and body["context"]["verdict"] != "approved"
    )
    outputs = told[place + 1]["context"]["outputs"]
    again = [*told[:place], told[place + 1]]  # it tells no fact
    again[-1]["context"]["reason"] = "no progress"
    (gate,) = [r.event for r in reading_of(chained(again)).records[-2:] if isinstance(r.event, Codegate)]
    assert (gate.workstream, gate.verdict, gate.batch, gate.tree) == (
        "b",
        "rejected",
        outputs["batch"],
        outputs["tree"],
    )
    assert (gate.reason, gate.feedback) == ("no progress", outputs["feedback"])


def test_a_hint_and_a_traceback_go_to_the_move() -> None:
    told = bodies(history("success"))
    told[2].update(new_state="FAILED", context={"outputs": {"hint": "type this", "traceback": "Traceback"}})
    move = reading_of(chained(told[:3])).records[-1].event
    assert isinstance(move, Transition)
    assert (move.hint, move.traceback) == ("type this", "Traceback")


def test_the_path_of_a_batch_that_was_beyond_checking_and_told_no_outputs_is_relative_too() -> None:
    told = bodies(history("partial"))
    gates = [record.event for record in reading_of(chained(told)).records if isinstance(record.event, Codegate)]
    assert {gate.report for gate in gates} == {"gate/approved/a-1/report.md", "gate/rejected/b-1/report.md"}


def test_outputs_that_no_step_can_have_written_are_refused() -> None:
    told = bodies(history("success"))
    place = next(n for n, body in enumerate(told) if "setup" in body["context"].get("outputs", {}))
    told[place]["context"]["outputs"]["setup"] = 7
    fault = reading_of(chained(told)).fault
    assert fault is not None
    assert fault.seq == place
    assert "its outputs are not those of a step" in fault.reason


def test_a_ledger_that_this_version_goes_on_with_is_of_both() -> None:
    data = history("success").read_bytes()
    before = reading_of(data)
    resumed = Record(
        seq=before.count, epoch=2, id="X", at=0, run_id=before.records[0].run_id, event=RunResumed(by="me")
    )
    after = reading_of(data + encode(resumed, before.records[-1].sha)[0])
    assert after.fault is None
    assert after.count == before.count + 1
    assert [record.v for record in after.records] == [1] * len(before.records) + [VERSION]
    assert behind(after.records, 0, before.count, after.records[-1].sha) is None
    assert behind(after.records, 0, 2, after.records[2].sha) is None, "by number, not by place"
    fault = behind(after.records, 0, after.count, "")
    assert fault is not None
    assert fault.seq == after.count
