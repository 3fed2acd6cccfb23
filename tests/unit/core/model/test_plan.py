from typing import Any

import msgspec
import pytest

from branchline.core.model.plan import Plan
from strategies import plan

SMALL: dict[str, Any] = {"version": 1, "workstreams": [{"id": "a", "scope": {"write": ["**"]}}]}


def test_a_workstream_is_found_by_its_id() -> None:
    made = plan("a", "b")
    assert made.workstream("b") is made.workstreams[1]
    with pytest.raises(KeyError, match="c"):
        made.workstream("c")


def test_each_round_has_its_script_and_past_the_last_there_is_none() -> None:
    work = {"script": [{"run": ["one"]}], "repair_scripts": [[{"run": ["two"]}], ["hang"]]}
    made = msgspec.convert({**SMALL, "workstreams": [{**SMALL["workstreams"][0], **work}]}, Plan).workstreams[0]
    assert made.script_of_round(1) == made.script
    assert made.script_of_round(2) == made.repair_scripts[0]
    assert made.script_of_round(3) == ("hang",)
    assert made.script_of_round(4) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"workstreams": []},
        {"version": 2},
        {"colour": "red"},
        {"workstreams": [{"id": "a b", "scope": {"write": ["**"]}}]},
        {"workstreams": [{"id": "a", "scope": {"write": []}}]},
        {"workstreams": [{"id": "a", "scope": {"write": [""]}}]},
    ],
)
def test_a_plan_that_is_not_valid_is_refused(wrong: dict[str, Any]) -> None:
    msgspec.convert(SMALL, Plan)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**SMALL, **wrong}, Plan)
