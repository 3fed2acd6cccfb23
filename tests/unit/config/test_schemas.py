"""The schema files are current, and the contracts' examples are valid and true."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

import pages
from branchline.config.load import plan_of
from branchline.config.settings import Settings
from branchline.core.events import Transition
from branchline.core.graph import TaskFile
from branchline.core.pipeline import task_graph
from branchline.core.states import STATES, State
from branchline.ledger.codec import Record, encode, milliseconds

ROOT = Path(__file__).parents[3] / "schemas"
CONTRACTS = ROOT / "contracts"
NAMES = [
    "checkpoint",
    "context_manifest",
    "execution_plan",
    "execution_state_machine",
    "ledger_record",
    "run_checkpoint",
    "task_graph",
]


def content(path: Path) -> Any:
    return json.loads(path.read_text())


def example(name: str) -> Any:
    return content(CONTRACTS / f"{name}.example.json")


def is_valid(name: str, value: object) -> bool:
    schema = content(CONTRACTS / f"{name}.schema.json")
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def test_the_files_are_current(tmp_path: Path) -> None:
    pages.schemas(tmp_path)
    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.json")}
    assert len(made) == 8
    assert made == {path: (ROOT / path).read_text() for path in made}, "write the schemas again"


def test_every_contract_has_a_schema_and_an_example() -> None:
    files = sorted(path.name for path in CONTRACTS.iterdir())
    assert files == sorted(f"{name}.{kind}.json" for name in NAMES for kind in ("example", "schema"))
    for path in ROOT.rglob("*.schema.json"):
        jsonschema.Draft202012Validator.check_schema(content(path))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_valid_and_not_without_what_is_required(name: str) -> None:
    whole = example(name)
    assert is_valid(name, whole)
    schema = content(CONTRACTS / f"{name}.schema.json")
    required = (schema["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema)["required"]
    assert required
    for member in required:
        assert not is_valid(name, {key: value for key, value in whole.items() if key != member})


def test_the_command_of_the_contract(tmp_path: Path) -> None:
    schema = CONTRACTS / "execution_state_machine.schema.json"
    broken = tmp_path / "broken.json"
    states = {**STATES, "PENDING": {"description": "defined", "allowed_transitions": ["running"]}}
    broken.write_text(json.dumps({"initial_state": "PENDING", "states": states}))
    for path, expected in ((CONTRACTS / "execution_state_machine.example.json", 0), (broken, 1)):
        command = [sys.executable, "-m", "jsonschema", "-i", str(path), str(schema)]
        assert subprocess.run(command, check=False, capture_output=True).returncode == expected


def as_json(value: object) -> Any:
    return json.loads(msgspec.json.encode(value))


def test_the_examples_are_what_the_code_makes() -> None:
    machine = example("execution_state_machine")
    assert machine == {"initial_state": "PENDING", "states": as_json(STATES)}
    plan = plan_of(CONTRACTS / "execution_plan.example.json", Settings(version=1, agent="codex"))
    assert example("task_graph") == as_json(TaskFile(version=1, tasks=task_graph(plan)))
    assert len(example("task_graph")["tasks"]) == 18


@pytest.mark.parametrize(
    "broken",
    [
        {"config_fingerprint": "0"},
        {"total_tokens": -1},
        {"manifest_version": 2},
        {"files": [{"path": "x"}]},
        {"excluded": [{"path": "x"}]},
        {"selection_params": {}},
    ],
)
def test_a_manifest_with_a_wrong_member_is_not_valid(broken: dict[str, Any]) -> None:
    assert not is_valid("context_manifest", example("context_manifest") | broken)


def test_a_real_ledger_record_is_the_example() -> None:
    told = example("ledger_record")
    event = Transition(task_id=told["task_id"], old_state=State.PENDING, new_state=State.RUNNING, attempt=1)
    record = Record(
        seq=41, epoch=1, id=told["id"], at=milliseconds(told["timestamp"]), run_id=told["run_id"], event=event
    )
    assert json.loads(encode(record, told["prev"])[0]) == told


def test_a_state_transition_names_its_task() -> None:
    told = example("ledger_record")
    for member in ("task_id", "attempt", "old_state", "new_state"):
        assert not is_valid("ledger_record", {key: value for key, value in told.items() if key != member})
        assert is_valid("ledger_record", {key: value for key, value in told.items() if key != member} | {"event": "x"})
    assert not is_valid("ledger_record", told | {"sha": "0"})


@pytest.mark.parametrize(
    ("action", "valid"),
    [({"sleep": 1}, True), ("hang", True), ({}, False), ({"sleep": 1, "fail": "x"}, False), ({"slep": 1}, False)],
)
def test_an_action_has_exactly_one_member(action: object, valid: bool) -> None:
    workstream = {"id": "a", "scope": {"write": ["a"]}, "script": [action]}
    assert is_valid("execution_plan", {"version": 1, "workstreams": [workstream]}) == valid


@pytest.mark.parametrize(
    ("time", "valid"),
    [("10m", True), ("1h30m", True), (0.5, True), ("0s", False), (0, False), ("10", False), ("", False)],
)
def test_a_time_is_above_zero(time: object, valid: bool) -> None:
    schema = content(ROOT / "config.schema.json")
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"version": 1, "agent_timeout": time}) == valid
