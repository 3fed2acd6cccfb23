from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.core import events as e
from branchline.core import facts as f
from branchline.core.graph import Task
from branchline.core.ids import ulid_hex
from branchline.core.states import State
from branchline.ledger.codec import Record
from branchline.views.spans import Span, finished, span_id, spans, trace_id

Drive = Callable[..., list[Record]]
Append = Callable[..., list[Record]]
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
RUN_KINDS = {"run", "step"}


def by_id(found: tuple[Span, ...]) -> dict[str, Span]:
    return {span.span_id: span for span in found}


def check_tree(found: tuple[Span, ...]) -> None:
    """Every parent exists and comes first; every child lies within its parent's time."""
    seen: dict[str, Span] = {}
    for span in found:
        assert (span.parent_id is None) == (span.name == "run")
        if span.parent_id is not None:
            parent = seen[span.parent_id]
            assert parent.start_ns <= span.start_ns
            assert parent.end_ns is None or (span.end_ns is not None and span.end_ns <= parent.end_ns)
        assert span.end_ns is None or span.start_ns <= span.end_ns
        assert span.span_id not in seen
        seen[span.span_id] = span


def check_grown(before: tuple[Span, ...], after: tuple[Span, ...]) -> None:
    """The later tree has all spans of the earlier one; what had ended is as it was, runs and steps apart."""
    later = by_id(after)
    for span in before:
        now = later[span.span_id]
        assert (now.parent_id, now.name, now.start_ns) == (span.parent_id, span.name, span.start_ns)
        if span.end_ns is not None and span.attributes["branchline.kind"] not in RUN_KINDS:
            assert now == span


def test_every_prefix_is_a_tree_that_grows(pipeline_run: list[Record]) -> None:
    before: tuple[Span, ...] = ()
    for number in range(1, len(pipeline_run) + 1):
        found = spans(ULID, pipeline_run[:number])
        check_tree(found)
        check_tree(finished(found))
        check_grown(before, found)
        before = found
    assert all(span.end_ns is not None for span in before)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_run_with_any_clock_gives_a_growing_tree(drive_pipeline: Drive, data: st.DataObject) -> None:
    ends = st.builds(
        lambda state, after, error_class: {"state": state, "after": after, "error_class": error_class, "reason": "why"},
        st.sampled_from([State.COMPLETED, State.COMPLETED, State.FAILED]),
        st.integers(1, 90_000),
        st.sampled_from(["rejected", "timeout"]),
    )
    names = st.sampled_from(
        [
            "task_003_planning",
            "task_007_execute_a",
            "task_010_gate_a",
            "task_010_gate_a_r2",
            "task_011_gate_b",
            "task_020_merge",
        ]
    )
    records = drive_pipeline(data.draw(st.dictionaries(names, st.lists(ends, min_size=1, max_size=2))))
    jumps = data.draw(st.lists(st.integers(-100_000, 0), min_size=len(records), max_size=len(records)))
    shaken = [msgspec.structs.replace(r, at=r.at + jump) for r, jump in zip(records, jumps, strict=True)]
    cut = data.draw(st.integers(1, len(records)))
    check_tree(spans(ULID, shaken))
    check_tree(spans(ULID, shaken[:cut]))
    check_grown(spans(ULID, shaken[:cut]), spans(ULID, shaken))


def test_what_the_contract_asks_for(pipeline_run: list[Record]) -> None:
    found = spans(ULID, pipeline_run)
    kinds = {span.attributes["branchline.kind"] for span in found}
    assert kinds == {"run", "step", "task", "attempt", "transition"}
    moves = sum(isinstance(record.event, e.Transition) for record in pipeline_run)
    points = [span for span in found if span.attributes["branchline.kind"] == "transition"]
    assert len(points) == moves
    assert all({"task.id", "transition.from", "transition.to", "trace.id"} <= span.attributes.keys() for span in points)
    assert {span.trace_id for span in found} == {ulid_hex(ULID)}


def test_attempts_tell_how_they_ended_and_what_happened_in_them(pipeline_run: list[Record]) -> None:
    named = {span.name: span for span in spans(ULID, pipeline_run)}
    failed, good = named["task_008_execute_b attempt 1"], named["task_008_execute_b attempt 2"]
    assert (failed.status, failed.message) == ("error", "timed out after 30s")
    assert (good.status, good.message, [event.name for event in good.events]) == ("ok", "", ["execute_ws_complete"])
    assert named["task_008_execute_b"].status == "ok"
    assert named["execute"].status == "ok"


def test_a_rejected_batch_is_superseded_by_its_repair(pipeline_run: list[Record]) -> None:
    named = {span.name: span for span in spans(ULID, pipeline_run)}
    rejected = named["task_010_gate_a"]
    assert rejected.status == "error"
    assert rejected.attributes["branchline.superseded_by"] == "task_010_gate_a_r2"
    assert named["code_gate"].status == "ok"


def test_the_run_tells_its_end(pipeline_run: list[Record]) -> None:
    run = spans(ULID, pipeline_run)[0]
    assert (run.status, run.message) == ("error", "b: conflict with a in greetings.txt")
    assert (run.attributes["branchline.status"], run.attributes["branchline.exit_code"]) == ("partial", 5)


@pytest.mark.parametrize(("word", "status"), [("succeeded", "ok"), ("cancelled", "unset"), ("failed", "error")])
def test_status_of_the_run(pipeline_run: list[Record], appended: Append, word: str, status: str) -> None:
    end = msgspec.convert({"event": "run_end", "status": word, "exit_code": 0}, e.RunEnded)
    assert spans(ULID, appended(pipeline_run[:-1], 1, end))[0].status == status


def test_a_failed_task_fails_its_step(drive_pipeline: Drive) -> None:
    found = spans(ULID, drive_pipeline({"task_008_execute_b": [{"state": State.FAILED, "reason": "crashed"}]}))
    named = {span.name: span for span in found}
    assert (named["execute"].status, named["execute"].message) == ("error", "crashed")
    assert named["task_014_consume_b"].status == "unset"


def test_a_resumed_run_goes_on(pipeline_run: list[Record], appended: Append) -> None:
    resumed = appended(pipeline_run, 5000, e.RunResumed(by="me"))
    found = spans(ULID, resumed)
    check_tree(found)
    assert found[0].end_ns is None
    assert [event.name for event in found[0].events][-1] == "run_resumed"
    again = spans(ULID, appended(resumed, 1000, e.RunEnded(status="succeeded", exit_code=0)))
    assert again[0].end_ns == (pipeline_run[-1].at + 6000) * 1_000_000
    assert again[0].status == "ok"


def test_interruptions_and_intents_are_events(pipeline_run: list[Record], appended: Append) -> None:
    running = pipeline_run[:12]
    records = appended(running, 10, e.AttemptInterrupted(task_id="task_007_execute_a", attempt=1))
    records = appended(records, 10, e.AttemptResumed(task_id="task_007_execute_a", attempt=1))
    records = appended(records, 10, e.IntentReceived(kind="cancel", by="me"))
    named = {span.name: span for span in spans(ULID, records)}
    attempt = named["task_007_execute_a attempt 1"]
    assert [event.name for event in attempt.events] == ["attempt_interrupted", "attempt_resumed"]
    assert attempt.end_ns is None
    (intent,) = named["run"].events
    assert intent.attributes == {"branchline.intent": "cancel", "branchline.by": "me"}


def test_a_fact_after_the_end_of_its_task_belongs_to_the_run(pipeline_run: list[Record], appended: Append) -> None:
    late = f.PrOpened(task_id="task_001_preflight", forge="local", location="x")
    assert spans(ULID, appended(pipeline_run[:5], 1, late))[0].events[0].name == "pr_opened"


def test_open_spans_are_ended_at_the_last_moment_known(pipeline_run: list[Record]) -> None:
    open_spans = spans(ULID, pipeline_run[:12])
    ended = finished(open_spans)
    assert max(span.end_ns or 0 for span in ended) == pipeline_run[11].at * 1_000_000
    marked = {span.name for span in ended if span.attributes.get("branchline.unfinished")}
    assert marked == {span.name for span in open_spans if span.end_ns is None}
    assert finished(()) == ()


def test_a_plain_graph_has_no_steps(drive_graph: Drive) -> None:
    found = spans("my-run", drive_graph((Task(id="x"),), {"x": [{"state": State.FAILED, "reason": "b\udcff"}]}))
    check_tree(found)
    assert {span.attributes["branchline.kind"] for span in found} == {"run", "task", "attempt", "transition"}
    assert found[1].message == "b\\udcff"


def test_ids_come_from_names() -> None:
    assert trace_id(ULID) == ulid_hex(ULID)
    assert trace_id("my-run") == trace_id("my-run") != trace_id("your-run")
    assert len(trace_id("my-run")) == 32
    assert len({span_id("r", "task", "a"), span_id("r", "step", "a"), span_id("s", "task", "a")}) == 3


def test_calls_of_agents_are_events_of_their_attempt(waiting_run: list[Record]) -> None:
    named = {span.name: span for span in spans(ULID, waiting_run)}
    first, second, proposed = named["task_003_planning attempt 1"].events
    assert first.attributes["error.type"] == "schema"
    assert second.attributes == {
        "task.id": "task_003_planning",
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "claude_code",
        "gen_ai.response.model": "m-1",
        "gen_ai.usage.input_tokens": 900,
        "gen_ai.usage.output_tokens": 100,
        "branchline.role": "planner",
        "branchline.status": "ok",
        "branchline.cost_usd": 0.03,
        "branchline.milliseconds": 500,
    }
    assert (proposed.name, proposed.attributes["branchline.plan"]) == ("plan_proposed", "d" * 64)
