"""`diff`, `show`, `restore`, `gc`, `doctor`, `init`, `demo`: looking at a pipeline's run and putting things right."""

import json
import os
from pathlib import Path

import pytest

from support import Json, Project, Ran, gate, sh, workstream, write

ODD = "new\nline 'quoted' \"twice\".txt"


def plan() -> Json:
    """`a` lands; `b` leaves an ignored and an odd file, and fails its gate."""
    return {
        "goal": "Two things",
        "workstreams": [
            workstream("a", write("a.txt", "a\n"), write(ODD, "odd\n"), write=["a.txt", "new*"]),
            workstream("b", write("b.txt", "BAD\n"), sh("echo precious > ignored.tmp"), write=["b.txt"]),
        ],
    }


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Ran]:
    """A repository with a run of which one workstream landed and one did not."""
    project = Project.make(
        tmp_path_factory.mktemp("ended") / "p", {"README.md": "# A project\n", ".gitignore": "*.tmp\n"}
    )
    ran = project.run(plan(), {"gates": [gate("clean", "! grep -q BAD *.txt")], "repair": {"rounds": 0}})
    assert ran.code == 5, ran.err
    return project, ran


def test_diff_of_a_run_is_a_patch_that_git_applies(ended: tuple[Project, Ran]) -> None:
    project, ran = ended
    patch = project.branchline("diff").out
    (project.root.parent / "change.patch").write_text(patch)
    assert "+a" in patch.splitlines()
    project.git("apply", "--check", str(project.root.parent / "change.patch"))
    made = project.branchline("diff", "--json").json
    assert [one["path"] for one in made["files"]] == ["a.txt", ODD]
    assert made["new"] == ran.json["integration"]["commit"]


def test_diff_of_a_workstream_that_did_not_land(ended: tuple[Project, Ran]) -> None:
    project, ran = ended
    assert "+BAD" in project.branchline("diff", ran.json["run_id"], "b").out.splitlines()
    wrong = project.branchline("diff", ran.json["run_id"], "c")
    assert (wrong.code, wrong.err.splitlines()[1]) == (2, "hint: it has a, b")


def test_show_tells_what_is_pinned_and_what_became_of_it(ended: tuple[Project, Ran]) -> None:
    project, ran = ended
    shown = project.branchline("show").out
    assert project.git("rev-parse", "main")[:12] in shown
    assert "clean" in project.branchline("show", ran.json["run_id"], "task_009_gate_b").out
    made = project.branchline("show", "--json").json
    assert [w["state"] for w in made["workstreams"]] == ["COMPLETED", "FAILED"]
    assert made["pins"]["base"] == project.git("rev-parse", "main")


def test_what_is_saved_is_listed_and_comes_back_in_a_new_folder(ended: tuple[Project, Ran], tmp_path: Path) -> None:
    project, ran = ended
    run = ran.json["run_id"]
    names = [one["name"] for one in json.loads(project.branchline("restore", "--json").out)]
    assert {"saved/a", "saved/b", "gate/b-1", "attempts/task_007_execute_b/1"} <= set(names)
    assert "saved/b" in project.branchline("restore").out
    back = tmp_path / "back"
    assert project.branchline("restore", run, "b", "--to", str(back)).code == 0
    assert (back / "b.txt").read_text() == "BAD\n"
    assert (back / "ignored.tmp").read_text() == "precious\n"
    assert not (back / ".git").exists()
    assert project.branchline("restore", run, "a", "--to", str(tmp_path / "a")).code == 0
    assert (tmp_path / "a" / ODD).read_text() == "odd\n"
    assert project.git("status", "--porcelain") == ""


def test_restore_overwrites_nothing(ended: tuple[Project, Ran], tmp_path: Path) -> None:
    project, ran = ended
    run = ran.json["run_id"]
    (tmp_path / "there").mkdir()
    refused = project.branchline("restore", run, "b", "--to", str(tmp_path / "there"))
    assert (refused.code, list((tmp_path / "there").iterdir())) == (2, [])
    assert project.branchline("restore", run, "b", "--branch", "b-again").code == 0
    assert project.show("b-again", "b.txt") == "BAD\n"
    moved = project.branchline("restore", run, "a", "--branch", "b-again")
    assert (moved.code, project.show("b-again", "b.txt")) == (2, "BAD\n")
    assert project.branchline("restore", run, "b", "--branch", "no..such").code == 2
    assert project.branchline("restore", run, "nothing", "--branch", "x").code == 2


def test_names_that_are_no_text_survive(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    ran = project.run({"goal": "x", "workstreams": [workstream("a", sh("printf x > $(printf 'caf\\351')"))]})
    assert ran.code == 0, ran.err
    for command in (["status"], ["show"], ["diff"], ["log"], ["diff", "--json"], ["log", "--json"]):
        assert project.branchline(*command).code == 0, command
    assert os.fsencode("caf\udce9") in [
        os.fsencode(one["path"]) for one in project.branchline("diff", "--json").json["files"]
    ]
    assert project.branchline("restore", ran.json["run_id"], "a", "--to", str(tmp_path / "back")).code == 0
    assert b"caf\xe9" in os.listdir(os.fsencode(tmp_path / "back"))


def test_gc_saves_and_removes_what_an_ended_run_left(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "# A project\n", ".gitignore": "*.tmp\n"})
    failing = {
        "goal": "x",
        "workstreams": [workstream("b", write("b.txt", "BAD\n"), sh("echo precious > ignored.tmp"))],
    }
    ran = project.run(failing, {"gates": [gate("no", "false")], "repair": {"rounds": 0}})
    assert ran.code == 1
    worktree = project.workspace("b")
    (worktree / "later.txt").write_text("even later\n")
    dry = project.branchline("gc", "--dry-run", "--json").json
    assert worktree.is_dir()
    foreign = worktree.with_name("not-ours")
    foreign.mkdir()
    told = [(one["kind"], one["name"], one["outcome"]) for one in dry["items"]]
    assert told == [("worktree", "b", "to do")]
    wet = project.branchline("gc", "--json").json
    assert [(one["name"], one["outcome"]) for one in wet["items"]] == [("b", "removed"), ("not-ours", "left")]
    assert wet["items"][0]["path"] == dry["items"][0]["path"]
    assert project.git("rev-parse", wet["items"][0]["ref"])
    assert (worktree.exists(), foreign.exists()) == (False, True)
    foreign.rmdir()
    assert project.branchline("restore", ran.json["run_id"], "b", "--to", str(tmp_path / "back")).code == 0
    assert (tmp_path / "back" / "ignored.tmp").read_text() == "precious\n"
    assert (tmp_path / "back" / "later.txt").read_text() == "even later\n"
    assert project.branchline("gc", "--json").json["items"] == []
    assert project.branchline("resume").code == 1  # it makes its worktree anew, and its gate still says no
    assert any("batch of b rejected: b-2" in line for line in project.branchline("log").out.splitlines())


def test_gc_leaves_a_run_alone_that_can_go_on(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    ran = project.run({"goal": "x", "workstreams": [workstream("a", write("a.txt", "a\n"))]})
    folder, left = Path(ran.json["run_dir"]), project.workspace("left")
    left.mkdir(parents=True)
    ledger = folder / "logs" / "run.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:-1]))  # not ended any more
    (folder / "logs" / "run.head").unlink()
    assert project.branchline("gc", "--json").json["items"] == []
    assert left.is_dir()


def test_verify_knows_the_mark_in_git(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    ran = project.run({"goal": "x", "workstreams": [workstream("a", write("a.txt", "a\n"))]})
    assert project.branchline("verify").code == 0
    ledger = Path(ran.json["run_dir"]) / "logs" / "run.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:5]))
    ledger.with_name("run.head").unlink()
    cut = project.branchline("verify", "--json")
    assert (cut.code, cut.json["fault"]["seq"]) == (1, 5)
    assert cut.json["fault"]["offset"] == sum(map(len, lines[:5]))


def test_doctor_names_what_is_missing_and_what_to_type(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    project.write({"branchline.yaml": json.dumps({
        "version": 1, "agent": "mine",
        "agents": [{"id": "mine", "command": ["no-such-agent-here"]}],
        "gates": [{"id": "g", "verify": ["no-such-tool-here"]}],
    })})  # fmt: skip
    said = project.branchline("doctor", "--json")
    found = {one["name"]: one for one in json.loads(said.out)}
    assert said.code == 1
    assert found["git"]["state"] == found["repository"]["state"] == found["other agents"]["state"] == "ok"
    assert (found["agent mine"]["state"], found["gate g"]["state"]) == ("missing", "warning")
    assert "no-such-agent-here" in found["agent mine"]["next"]
    assert "-> install no-such-agent-here" in project.branchline("doctor").out


def test_doctor_outside_a_repository(tmp_path: Path) -> None:
    said = Project(tmp_path).branchline("doctor")
    assert said.code == 1
    assert "missing    repository" in said.out
    assert "-> git init" in said.out


def test_init_then_run_works_out_of_the_box(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    assert project.branchline("init").code == 0
    assert project.git("status", "--porcelain") == "?? branchline.yaml\n?? plan.yaml"
    for name in ("branchline.yaml", "plan.yaml"):
        first = (project.root / name).read_text().splitlines()[0]
        schema = project.root / first.partition("$schema=")[2]
        assert json.loads(schema.read_text())["$schema"].startswith("https://json-schema.org/")
    ran = project.branchline("run", "--plan", "plan.yaml", "--json")
    assert (ran.code, ran.json["status"]) == (0, "succeeded"), ran.err
    before = (project.root / "plan.yaml").read_bytes()
    again = project.branchline("init")
    assert again.code == 2
    assert "nothing was written" in again.err
    assert (project.root / "plan.yaml").read_bytes() == before


def test_demo_comes_out_as_told(tmp_path: Path) -> None:
    project = Project(tmp_path)
    said = project.branchline("demo", "--keep", str(tmp_path / "demo"), "--json")
    assert (said.code, said.json["ok"], said.json["differences"]) == (0, True, []), said.err
    assert project.branchline("verify", "--repo", said.json["folder"]).code == 0
    assert project.branchline("demo", "--keep", str(tmp_path / "demo")).code == 2
