import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.agents.metering.counting import LONGEST
from branchline.agents.metering.portable import MARK, marked, unmarked
from unit.agents.metering.provider import anthropic, chat, event_bytes, responses

OLD, NEW = "/srv/app/.runs/01K/worktrees/a", "/home/me/.runs/01M/worktrees/a"
CALL = json.dumps({"file_path": f"{OLD}/x.py", "old_string": "“a”", "new_string": "b"}, ensure_ascii=False)
OTHER = "nothing to see"


def of_anthropic(piece: str, index: int) -> Any:
    delta = {"type": "input_json_delta", "partial_json": piece}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def of_chat(piece: str, index: int) -> Any:
    call = {"index": index, "function": {"arguments": piece}}
    return {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}


def of_responses(piece: str, index: int) -> Any:
    return {"type": "response.function_call_arguments.delta", "output_index": index, "delta": piece}


def text(body: bytes, index: int) -> str:
    """What the pieces of one call add up to."""
    found = []
    for line in body.splitlines():
        event = json.loads(line[5:]) if line.startswith(b"data: {") else {}
        calls = [call for choice in event.get("choices", []) for call in choice["delta"].get("tool_calls", [])]
        found += [call["function"]["arguments"] for call in calls if call["index"] == index]
        if isinstance(event.get("delta"), str) and event.get("output_index") == index:
            found.append(event["delta"])
        if isinstance(event.get("delta"), dict) and event.get("index") == index:
            found.append(event["delta"].get("partial_json", ""))
    return "".join(found)


@given(st.sampled_from([of_anthropic, of_chat, of_responses]), st.sets(st.integers(1, len(CALL) - 1)), st.booleans())
def test_a_path_in_any_pieces_moves(make: Any, cuts: set[int], folded: bool) -> None:
    at = [0, *sorted(cuts), len(CALL)]
    pieces = [make(CALL[start:end], 1) for start, end in itertools.pairwise(at)]
    mixed = [event for piece in pieces for event in (piece, make(OTHER, 2))]
    body = b"".join(map(event_bytes, [*mixed, "[DONE]"])).replace(b"\n", b"\r\n" if folded else b"\n")
    moved = unmarked(marked(body, OLD), NEW)
    assert text(moved, 1) == CALL.replace(OLD, NEW)
    assert text(moved, 2) == OTHER * len(pieces)
    assert moved.count(b"\n") == body.count(b"\n")
    assert moved.count(b"\r") == body.count(b"\r")


def test_a_whole_answer_moves() -> None:
    body = json.dumps({"content": [{"type": "tool_use", "input": {"file_path": f"{OLD}/x"}}]}).encode()
    assert unmarked(marked(body, OLD), NEW) == body.replace(OLD.encode(), NEW.encode())


@pytest.mark.parametrize("events", [anthropic(), chat(), responses()])
def test_what_does_not_name_the_worktree_stays_byte_for_byte(events: list[Any]) -> None:
    body = b"".join(map(event_bytes, events))
    assert marked(body, OLD) == body
    assert marked(body, "") == body


@pytest.mark.parametrize(
    "body", [b"data: {", b"data: [1]\n\n", b"data: " + b"[" * 10_000, b'data: {"delta": 1}', b"\xff"]
)
def test_what_is_no_event_stays(body: bytes) -> None:
    assert marked(body, OLD) == body


def test_half_a_character_harms_nothing() -> None:
    body = b'data: {"type": "d", "delta": "%s \\ud83d"}\n\n' % OLD.encode()
    assert unmarked(marked(body, OLD), NEW) == body.replace(OLD.encode(), NEW.encode())


def test_neighbours_and_huge_answers_stay() -> None:
    near = f"{OLD}b {OLD}-2 {OLD}.old".encode()
    assert marked(near + f" {OLD}".encode(), OLD) == near + b" " + MARK
    huge = OLD.encode() + b"x" * LONGEST
    assert marked(huge, OLD) == huge
