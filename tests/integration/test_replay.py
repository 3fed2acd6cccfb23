"""`branchline replay`: a run's gates, batches and merges again; nothing of the repository is touched."""

from pathlib import Path

import pytest

from branchline.core.graph import Task
from branchline.engine.library import run_graph
from support import Json, Project, gate, workstream, write
from witness import assert_refused, assert_untouched, see


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A run with a fixer, a repair and a conflict."""
    folder = tmp_path_factory.mktemp("replay")
    plan: Json = {
        "workstreams": [
            workstream("a", write("a.txt", "a \n"), write("shared.txt", "a\n")),
            workstream("b", write("b.txt", "BAD\n"), repair_scripts=[[write("b.txt", "good\n")]]),
            workstream("c", write("shared.txt", "c\n")),
        ]
    }
    trim = ["sh", "-c", "for f in *.txt; do sed -i 's/ *$//' $f; done"]
    tidy = {"id": "tidy", "kind": "format", "verify": ["sh", "-c", "! grep -n ' $' *.txt"], "fix": trim}
    check = f"test ! -e {folder}/flag && ! grep -rn BAD *.txt"
    project = Project.make(folder / "p")
    assert project.run(plan, {"gates": [gate("check", check), tidy]}).code == 5
    return project


def objects(project: Project) -> str:
    return project.git("count-objects", "-v")


def test_an_undisturbed_run_comes_to_the_same(shipped: Project) -> None:
    before, held = see(shipped), objects(shipped)
    ran = shipped.branchline("replay", "--json")
    assert ran.code == 0, ran.out
    assert ran.json["same"] is True
    assert ran.json["first"] is None
    steps = ran.json["steps"]
    assert len(steps) == 13
    assert all(step["now"] == step["then"] for step in steps)
    assert {step["step"] for step in steps} == {"code_gate", "consume", "validate", "merge_prep", "merge", "pr_ci"}
    assert_untouched(shipped, before)
    assert objects(shipped) == held


def test_without_gates_batches_and_merges_come_to_the_same(shipped: Project) -> None:
    ran = shipped.branchline("replay", "--no-gates")
    assert ran.code == 0, ran.out
    assert "5 steps done again, everything came to the same" in ran.out
    assert ran.out.count("not done again: its gates") == 8


def test_the_first_step_that_differs_is_named(shipped: Project) -> None:
    flag = shipped.root.parent / "flag"
    flag.touch()
    try:
        ran = shipped.branchline("replay", "--json")
    finally:
        flag.unlink()
    assert ran.code == 1
    steps = ran.json["steps"]
    first = next(step for step in steps if step["differs"])
    assert ran.json["first"] == first["task_id"]
    assert first["note"] == "approved, now rejected; check: passed, now failed"
    assert not any(step["differs"] for step in steps if step["step"] == "consume")  # given what it was given then


def test_a_run_whose_objects_are_gone_cannot_be_done_again(shipped: Project, tmp_path: Path) -> None:
    taken_in = next(r["context"]["tree"] for r in shipped.records() if r["event"] == "ws_checkpoint")
    blob = shipped.git("rev-parse", f"{taken_in}:README.md")
    place = shipped.root / ".git" / "objects" / blob[:2] / blob[2:]
    place.rename(tmp_path / "kept")
    try:
        assert_refused(shipped.branchline("replay"), 2, "objects of the run are gone", hint="git fsck")
    finally:
        (tmp_path / "kept").rename(place)


def test_a_plain_graph_has_nothing_to_do_again(tmp_path: Path) -> None:
    assert run_graph([Task(id="t", run=("true",))], root=tmp_path).ok
    assert_refused(Project(tmp_path).branchline("replay"), 2, "is a plain graph")
