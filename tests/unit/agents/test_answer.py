import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.agents.supervise import answer_in, checked, schema_errors
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus

SCHEMA = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "sizes": {"type": "array", "items": {"type": "integer"}}},
}


def asked(schema: dict[str, Any] | None = SCHEMA) -> AgentRequest:
    return AgentRequest(
        run_id="r", workstream="a", round=1, attempt=1, prompt="", worktree="/w", folder="/f", output_schema=schema
    )


def said(notes: str = "", **members: Any) -> AgentResult:
    return AgentResult(**{"status": AgentStatus.OK, "notes": notes, **members})


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "x"}',
        ' \n{"name": "x"}\n',
        'Here it is: {"name": "x"}. Anything else?',
        'Here it is:\n```json\n{"name": "x"}\n```\nDone.',
        'First:\n```json\n{"name": "no"}\n```\nBetter:\n```json\n{"name": "x"}\n```',
        '```\n{"name": "x"}\n```',
        'I looked at {this}.\n```json\n{"name": "x"}\n```',
    ],
)
def test_an_answer_is_found_in_what_stands_around_it(text: str) -> None:
    assert answer_in(text) == {"name": "x"}


def test_a_fence_inside_the_answer_is_part_of_it() -> None:
    assert answer_in('```json\n{"name": "```json x```"}\n```') == {"name": "```json x```"}


@pytest.mark.parametrize(
    "text", ["", "no", "{", "}{", "[1]", '"x"', "{'name': 1}", '{"name": "x"', '{"a":' * 5000, "\udcff{\udcff}"]
)
def test_no_answer_is_none(text: str) -> None:
    assert answer_in(text) is None


@given(st.text())
def test_any_text_is_read_without_harm(text: str) -> None:
    assert answer_in(text) is None or isinstance(answer_in(text), dict)


def test_an_answer_that_satisfies_its_schema_is_kept() -> None:
    assert checked(said('{"name": "x"}'), asked()).structured == {"name": "x"}
    assert checked(said("see there", structured={"name": "y"}), asked()).structured == {"name": "y"}
    assert checked(said('{"name": "x"}'), asked()).status is AgentStatus.OK


def test_nobody_is_trusted_to_have_kept_to_the_schema() -> None:
    result = checked(said(structured={"sizes": [1, "2"]}), asked())
    assert result.status is AgentStatus.INVALID_OUTPUT
    assert result.message == 'at the top: "name" is a required property; at sizes[1]: "2" is not of type "integer"'
    assert result.structured == {"sizes": [1, "2"]}


def test_no_answer_is_invalid() -> None:
    result = checked(said("I am done."), asked())
    assert (result.status, result.structured) == (AgentStatus.INVALID_OUTPUT, None)
    assert result.message == "it gave no answer in the form that was asked for"


def test_where_none_was_due_none_is_looked_for() -> None:
    result = said('{"name": 1}')
    assert checked(result, asked(None)) is result


@pytest.mark.parametrize("status", [status for status in AgentStatus if status is not AgentStatus.OK])
def test_what_failed_before_stays_what_it_is(status: AgentStatus) -> None:
    result = said(status=status)
    assert checked(result, asked()) is result


def test_errors_are_few_and_short() -> None:
    errors = schema_errors({"name": "x", "sizes": ["y" * 1000] * 50}, SCHEMA)
    assert len(errors) == 10
    assert max(map(len, errors)) < 400


def test_a_large_wrong_answer_takes_no_time() -> None:
    value = {"name": "x", "sizes": ["y"] * 200_000}
    began = time.perf_counter()
    assert schema_errors(value, SCHEMA) == ['at sizes[0]: "y" is not of type "integer"']
    assert time.perf_counter() - began < 2
