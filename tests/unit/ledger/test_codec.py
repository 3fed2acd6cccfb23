import hashlib
import json
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

from branchline.core.events import NAMES, AnyEvent, GaveUp, Transition
from branchline.core.facts import WorktreesReady
from branchline.core.states import State
from branchline.ledger.codec import GENESIS, BadRecord, Record, decode, encode, milliseconds, timestamp
from strategies import events, of

AT = 1_764_000_000_123


def record(event: AnyEvent, seq: int = 0) -> Record:
    return Record(seq=seq, epoch=1, id="01ARZ3NDEKTSV4RRFFQ69G5FAV", at=AT, run_id="R", event=event)


def line_of(body: dict[str, Any] | list[Any] | str) -> bytes:
    """A line with the right hash, whatever it says."""
    text = body if isinstance(body, str) else json.dumps(body, sort_keys=True, separators=(",", ":"))
    head = text[:-1].encode("utf-8", "surrogateescape")
    return b'%s,"sha":"%s"}' % (head, hashlib.sha256(head).hexdigest().encode())


def body(**changes: Any) -> dict[str, Any]:
    """The members of a good record but the hash, with some of them changed or, where None, left out."""
    line, _ = encode(record(GaveUp(task_id="t", reason="why")), GENESIS)
    members = {**json.loads(line), **changes}
    del members["sha"]
    return {name: value for name, value in members.items() if value is not None}


@pytest.mark.parametrize("kind", get_args(AnyEvent), ids=lambda kind: kind.__name__)
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_every_event_comes_back_as_it_was(kind: type[AnyEvent], data: st.DataObject) -> None:
    event = data.draw(of(inspect.type_info(kind)))
    line, sha = encode(record(event), GENESIS)
    back = decode(line[:-1], seq=0, prev=GENESIS)
    assert back.event == event
    assert type(back.event) is kind
    assert back == Record(seq=0, epoch=1, id="01ARZ3NDEKTSV4RRFFQ69G5FAV", at=AT, run_id="R", event=event, sha=sha)


def test_every_event_has_a_name_of_its_own() -> None:
    assert len(NAMES) == len(get_args(AnyEvent))


@settings(deadline=None, max_examples=60)
@given(events())
def test_a_line_is_canonical(event: AnyEvent) -> None:
    line, sha = encode(record(event), GENESIS)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    members = list(json.loads(line))
    assert members == [*sorted(members[:-1]), "sha"]
    assert encode(record(event), GENESIS) == (line, sha)
    parsed = json.loads(line)
    assert sha == parsed.pop("sha") == hashlib.sha256(line[: -len(sha) - 11]).hexdigest()
    assert line_of(json.loads(line[: -len(sha) - 11] + b"}")) == line[:-1]


def test_the_members_that_the_contract_names() -> None:
    move = Transition(task_id="t", old_state=State.PENDING, new_state=State.RUNNING, attempt=1, reason="go")
    members = json.loads(encode(record(move, 7), "f" * 64)[0])
    assert members.pop("sha")
    assert members == {
        "v": 2,
        "seq": 7,
        "epoch": 1,
        "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "timestamp": "2025-11-24T16:00:00.123Z",
        "run_id": "R",
        "trace_id": "R",
        "event": "state_transition",
        "task_id": "t",
        "attempt": 1,
        "old_state": "PENDING",
        "new_state": "RUNNING",
        "context": {"reason": "go"},
        "prev": "f" * 64,
    }


def test_a_path_that_is_not_utf_8_comes_back() -> None:
    event = WorktreesReady(task_id="t", workstream="w", path='a\udcff\n"é😀', branch="b", base="c")
    assert decode(encode(record(event), GENESIS)[0][:-1], seq=0, prev=GENESIS).event == event


def test_a_number_that_json_does_not_have_is_refused() -> None:
    move = Transition(
        task_id="t", old_state=State.RUNNING, new_state=State.COMPLETED, attempt=1, outputs={"x": float("nan")}
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(record(move), GENESIS)


@settings(deadline=None)
@given(st.integers(0, 253_402_300_799_999))
def test_times_come_back_to_the_millisecond(at: int) -> None:
    assert milliseconds(timestamp(at)) == at


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "it does not end in its hash"),
        (b"{}", "it does not end in its hash"),
        (line_of(body())[:-1] + b"]", "it does not end in its hash"),
        (line_of(body()).replace(b"why", b"who"), "its hash does not match its text"),
        (line_of('{"seq":}'), "its content is not valid"),
        (line_of('{"seq":"\udcff"}'), "its content is not valid"),
        (line_of("[]"), "its content is not valid"),
        (line_of(body(v=3)), "written by a newer Branchline (ledger version 3, this one reads 2)"),
        (line_of(body(v="2")), "its content is not valid"),
        (line_of(body(seq=1)), "it is record 1 where record 0 should stand"),
        (line_of(body(seq=None)), "it is record None where record 0 should stand"),
        (line_of(body(prev="0")), "it does not follow from the record before it"),
        (line_of(body(event="party")), "its event 'party' is unknown to this version"),
        (line_of(body(event=None)), "its event None is unknown to this version"),
        (line_of(body(event=[])), "its content is not valid"),
        (line_of(body(task_id=None)), "missing required field `task_id`"),
        (line_of(body(context=None)), "its content is not valid: 'context'"),
        (line_of(body(context=3)), "its content is not valid"),
        (line_of(body(context={"reason": 3})), "Expected `str`, got `int`"),
        (line_of(body(epoch="1")), "Expected `int`, got `str`"),
        (line_of(body(epoch=None)), "its content is not valid: 'epoch'"),
        (line_of(body(id=3)), "Expected `str`, got `int`"),
        (line_of(body(timestamp="yesterday")), "its content is not valid"),
        (line_of(body(timestamp=3)), "its content is not valid"),
    ],
)
def test_what_is_not_the_record_that_should_stand_there_is_refused(line: bytes, reason: str) -> None:
    with pytest.raises(BadRecord) as caught:
        decode(line, seq=0, prev=GENESIS)
    assert reason in str(caught.value)


def test_readers_ignore_members_they_do_not_know() -> None:
    line = line_of(body(colour="red", context={"reason": "why", "mood": "good"}))
    assert decode(line, seq=0, prev=GENESIS).event == GaveUp(task_id="t", reason="why")
