"""A run of which nothing landed never exits 0, whatever kept it from landing; and everything that tells agrees."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import Json, Project, Ran, gate, sh, workstream, write

WRITES = write("a.txt", "a\n")
Way = Callable[[Project], Ran]


def one(*script: Json | str, **fields: Any) -> Json:
    return {"goal": "g", "workstreams": [workstream("a", *script, **fields)]}


def no_change(project: Project) -> Ran:
    return project.run(one(sh("true")))


def the_agent_fails(project: Project) -> Ran:
    return project.run(one(WRITES, sh("exit 3")))


def all_rejected(project: Project) -> Ran:
    return project.run(one(WRITES), {"gates": [gate("no", "false")], "repair": {"rounds": 0}})


def out_of_scope(project: Project) -> Ran:
    return project.run(one(WRITES, write=["src/**"]), {"repair": {"rounds": 0}})


def undone_by_fixers(project: Project) -> Ran:
    return project.run(one(WRITES), {"gates": [gate("fmt", "true", fix=["rm", "-f", "a.txt"])]})


def undone_by_a_repair(project: Project) -> Ran:
    script = [sh("rm a.txt")]
    return project.run(one(WRITES, repair_scripts=[script]), {"gates": [gate("no", "! test -e a.txt")]})


def undone_by_each_other(project: Project) -> Ran:
    back = workstream("b", sh("rm a.txt"), depends_on=["a"])
    return project.run({"goal": "g", "workstreams": [workstream("a", WRITES), back]})


def all_dropped(project: Project) -> Ran:
    """Each passes alone and fails on the merge with the other, so one lands; with `abort` none does."""
    streams = [workstream(name, write("src/x.py", f"x = '{name}'\n")) for name in "ab"]
    return project.run({"goal": "g", "workstreams": streams}, {"merge": {"on_conflict": "abort"}})


def there_already(project: Project) -> Ran:
    """The target gets the very change while the run is under way."""
    meanwhile = f"git -C {project.root} -c user.name=u -c user.email=u@x commit -qam same"
    script = sh(f"echo a >> README.md; echo a >> {project.root}/README.md; {meanwhile}")
    return project.run(one(script), {"ship": {"mode": "merge"}})


def red_ci(project: Project) -> Ran:
    return project.run(one(WRITES), {"gates": [gate("ci", "false", phases=["integration"])]})


def preflight_fails(project: Project) -> Ran:
    return project.run(one(WRITES), {"gates": [{"id": "g", "verify": ["no-such-tool"], "required": True}]})


def all_refused_by_a_person(project: Project) -> Ran:
    assert project.run(one(write("CLAUDE.md", "x\n"))).code == 4
    return project.branchline("reject", "--json")


def cancelled(project: Project) -> Ran:
    assert project.run(one(write("CLAUDE.md", "x\n"))).code == 4
    project.branchline("cancel")
    return project.branchline("show", "--json")


def all_left_out(project: Project) -> Ran:
    assert project.run(one(write("CLAUDE.md", "x\n"))).code == 4
    return project.branchline("resume", "--skip", "task_007_consume_a", "--json")


WAYS: dict[Way, str] = {
    no_change: "the agent changed nothing",
    the_agent_fails: "exit code 3",
    all_rejected: "rejected: no: exit code 1",
    out_of_scope: "outside the workstream's scope",
    undone_by_fixers: "changes nothing",
    undone_by_a_repair: "changes nothing",
    undone_by_each_other: "changes nothing",
    all_dropped: "it conflicts with a",
    there_already: "holds all that is to be merged already",
    red_ci: "CI: ci: exit code 1",
    preflight_fails: "no-such-tool",
    all_refused_by_a_person: "rejected by",
    cancelled: "cancelled by",
    all_left_out: "skipped",
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_run_in_which_nothing_landed_says_so_everywhere(tmp_path: Path, way: Way) -> None:
    project = Project.make(tmp_path / "p")
    tip = project.git("rev-parse", "main")
    ran = way(project)
    records = project.records()
    (end,) = [record["context"] for record in records if record["event"] == "run_end"]
    told = [record["context"].get("reason", "") for record in records if record["event"] == "state_transition"]
    assert any(WAYS[way] in reason for reason in told), "it failed for another reason than it should"
    assert end["exit_code"] == 1
    assert ran.code == (0 if way is cancelled else 1), ran.err
    assert end["status"] == ("cancelled" if way is cancelled else "failed")
    status = project.branchline("status", "--json").json
    assert status["status"] == end["status"]
    assert [row["state"] for row in status["workstreams"] if row["state"] == "COMPLETED"] == []
    assert "Landed" not in ran.err
    if way is not there_already:
        assert project.git("rev-parse", "main") == tip
    assert project.branchline("verify").code == 0


def test_a_plan_of_nothing_is_no_plan(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    ran = project.run({"goal": "g", "workstreams": []})
    assert ran.code == 2
    assert not list(project.root.glob(".runs/*/logs/run.jsonl"))
