"""Merging, seen from outside: an order from the plan alone, no conflict settled silently, a main that is never red."""

import json
import subprocess
from pathlib import Path
from typing import Any

from support import Project, Ran, edit, fate, gate, sh, workstream, write

MERGE = {"ship": {"mode": "merge"}}


def artefact(ran: Ran, name: str) -> Any:
    return json.loads((Path(ran.json["run_dir"]) / "artifacts" / name).read_text())


def passes(project: Project, script: str) -> bool:
    """Whether a gate's script passes on what main holds, in a folder of its own."""
    folder = project.root.parent / f"{project.root.name}-main"
    project.git("worktree", "add", "--quiet", "--detach", str(folder), "main")
    done = subprocess.run(["sh", "-c", script], cwd=folder, check=False)
    project.git("worktree", "remove", "--force", str(folder))
    return done.returncode == 0


def merges(project: Project) -> list[str]:
    """The workstreams on main, in the order of their merge commits."""
    subjects = project.git("log", "--first-parent", "--reverse", "--format=%s", "main").splitlines()
    return [subject.removeprefix("Merge workstream ") for subject in subjects[1:]]


def test_the_order_is_the_plans_whatever_finishes_first(tmp_path: Path) -> None:
    project, go = Project.make(tmp_path / "p"), tmp_path / "go"
    wait = f"for _ in $(seq 600); do test -e {go} && exit 0; sleep 0.05; done; exit 1"
    plan = {
        "workstreams": [
            workstream("z", write("z.txt", "z\n")),
            workstream("on_z", sh(f"touch {go}"), write("on_z.txt", "z\n"), depends_on=["z"], priority=9),
            workstream("b", sh(wait), write("b.txt", "b\n")),
            workstream("slow", sh(wait), {"sleep": 0.3}, write("slow.txt", "s\n"), priority=5),
        ]
    }
    ran = project.run(plan, MERGE)
    assert ran.code == 0, ran.err
    ended = [r["context"]["workstream"] for r in project.records() if r["event"] == "validate_ws_pass"]
    assert ended[0] == "z", "it finishes first and merges third, or this test shows nothing"
    assert merges(project) == ["slow", "b", "z", "on_z"]
    queue = artefact(ran, "merge_queue.json")
    assert [entry["workstream"] for entry in queue["queue"]] == ["slow", "b", "z", "on_z"]
    assert (queue["conflicts"], queue["excluded"]) == ([], {})


def test_drop_quarantines_the_later_one_and_what_builds_on_it(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    plan = {
        "workstreams": [
            workstream("a", write("shared.txt", "of a\n"), {"sleep": 0.5}),
            workstream("b", write("shared.txt", "of b\n"), write("only_b.txt", "b\n")),
            workstream("c", write("c.txt", "c\n"), depends_on=["b"]),
            workstream("d", write("d.txt", "d\n")),
        ]
    }
    ran = project.run(plan, MERGE)
    made = ran.json
    assert (ran.code, made["status"]) == (5, "partial"), ran.err
    states = {w["id"]: w["state"] for w in made["workstreams"]}
    assert states == {"a": "COMPLETED", "b": "FAILED", "c": "FAILED", "d": "COMPLETED"}
    assert fate(ran, "b")["reason"] == "it conflicts with a in shared.txt"
    assert fate(ran, "c")["reason"] == "it builds on b, which was dropped"
    assert project.files("main") == ["README.md", "d.txt", "old.txt", "shared.txt", "src/x.py"]
    assert project.show("main", "shared.txt") == "of a\n"
    assert artefact(ran, "merge_queue.json")["conflicts"] == [
        {"between": ["a", "b"], "paths": ["shared.txt"]},
        {"between": ["a", "c"], "paths": ["shared.txt"]},
    ]
    assert project.show(f"feature/b-{made['run_id']}", "only_b.txt") == "b\n"
    assert "of b" in (Path(made["run_dir"]) / "gate/approved/b-1/batch.patch").read_text()
    assert merges(project) == ["a", "d"]


def test_abort_ships_nothing(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    before = project.git("rev-parse", "main")
    plan = {"workstreams": [workstream(n, write("shared.txt", f"of {n}\n")) for n in ("a", "b")]}
    ran = project.run(plan, {**MERGE, "merge": {"on_conflict": "abort"}})
    assert (ran.code, ran.json["status"]) == (1, "failed")
    assert ran.json["shipped"] is None
    assert ran.json["integration"] is None
    assert "conflicts with a in shared.txt" in json.dumps(project.records())
    assert project.git("rev-parse", "main") == before
    assert project.git("for-each-ref", "refs/heads/integration") == ""


def test_repair_gives_the_conflict_back_to_the_agent(tmp_path: Path) -> None:
    """The first resolution fails a gate; the second starts from it, with the report."""
    project = Project.make(tmp_path / "p")
    both = "! grep -q b shared.txt || grep -qx 'a and b' shared.txt"
    plan = {
        "workstreams": [
            workstream("a", write("shared.txt", "a\n")),
            workstream(
                "b",
                write("shared.txt", "a and b\n"),
                repair_scripts=[
                    [
                        sh("grep -q '^<<<<<<< ' shared.txt && grep -q '^>>>>>>> ' shared.txt"),
                        write("shared.txt", "b alone\n"),
                    ],
                    [edit("shared.txt", "b alone", "a and b"), write("b.txt", "b\n")],
                ],
            ),
            workstream("on_b", write("on_b.txt", "b\n"), depends_on=["b"]),
        ]
    }
    ran = project.run(plan, {**MERGE, "merge": {"on_conflict": "repair"}, "gates": [gate("both", both)]})
    assert ran.code == 0, ran.err + ran.out
    assert project.show("main", "shared.txt") == "a and b\n"
    assert project.show("main", "on_b.txt") == "b\n"
    assert passes(project, both)
    run_dir = Path(ran.json["run_dir"])
    assert (run_dir / "gate/rejected/b-2/report.md").exists()
    requests = sorted(run_dir.glob("attempts/*_execute_b*/request.json"))
    first, second, third = (json.loads(path.read_text())["prompt"] for path in requests)
    assert "conflicts with work" not in first
    assert "conflicts with work of others" in second
    assert "## both: exit code 1" in third


def test_a_resolution_that_leaves_the_markers_is_rejected_and_rounds_end(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    plan = {
        "workstreams": [
            workstream("a", write("shared.txt", "a\n")),
            workstream("b", write("shared.txt", "b\n"), repair_scripts=[[write("b.txt", "b\n")]]),
        ]
    }
    ran = project.run(plan, {**MERGE, "merge": {"on_conflict": "repair"}, "repair": {"rounds": 1}})
    assert ran.code == 5, ran.err + ran.out
    assert "batch b-2 rejected" in fate(ran, "b")["reason"]
    assert "conflict markers" in (Path(ran.json["run_dir"]) / "gate/rejected/b-2/report.md").read_text()
    assert project.show("main", "shared.txt") == "a\n"
    assert "b.txt" not in project.files("main")


def test_a_conflict_after_the_last_round_drops(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    plan = {
        "workstreams": [
            workstream("a", write("shared.txt", "a\n")),
            workstream("b", write("shared.txt", "bad\n"), repair_scripts=[[write("shared.txt", "b\n")]] * 3),
        ]
    }
    settings = {
        "merge": {"on_conflict": "repair"},
        "repair": {"rounds": 1},
        "gates": [gate("ok", "! grep -q bad shared.txt")],
    }
    ran = project.run(plan, {**MERGE, **settings})
    assert ran.code == 5, ran.err + ran.out
    assert fate(ran, "b")["reason"] == "it conflicts with a in shared.txt"
    assert project.show("main", "shared.txt") == "a\n"


def test_strategies_of_paths_settle_what_they_can_and_nothing_else(tmp_path: Path) -> None:
    """`union` and `json` take both sides; a clash of values, and a change against a deletion, are conflicts."""
    package = '{\n  "name": "p",\n  "version": 1\n}\n'
    files = {"README.md": "# A project\n", "CHANGELOG.md": "# Changes\n", "package.json": package, "old.txt": "o\n"}
    project = Project.make(tmp_path / "p", files)
    key = '"version": 1,\n  "{0}": true'
    plan = {
        "workstreams": [
            *(
                workstream(
                    name,
                    edit("CHANGELOG.md", "# Changes\n", f"# Changes\n- by {name}\n"),
                    edit("package.json", '"version": 1', key.format(name)),
                )
                for name in ("a", "b")
            ),
            workstream("c", edit("package.json", '"version": 1', '"version": 2')),
            workstream("d", edit("package.json", '"version": 1', '"version": 3')),
            workstream("e", {"delete": {"path": "old.txt"}}),
            workstream("f", edit("old.txt", "o", "of f")),
        ]
    }
    paths = [{"match": "CHANGELOG.md", "strategy": "union"}, {"match": "package.json", "strategy": "json"}]
    ran = project.run(plan, {**MERGE, "merge": {"paths": paths}})
    assert ran.code == 5, ran.err
    assert fate(ran, "d")["reason"] == "it conflicts with a and b and c in package.json"
    assert fate(ran, "f")["reason"] == "it conflicts with e in old.txt"
    assert merges(project) == ["a", "b", "c", "e"]
    assert json.loads(project.show("main", "package.json") or "") == {"name": "p", "version": 2, "a": True, "b": True}
    assert sorted((project.show("main", "CHANGELOG.md") or "").splitlines()) == ["# Changes", "- by a", "- by b"]
    assert "old.txt" not in project.files("main")


def test_what_gitattributes_say_of_merging_is_what_git_means_by_it(tmp_path: Path) -> None:
    """As the user had committed them: what a batch writes there does not count."""
    lines = "one\ntwo\nthree\nfour\nfive\n"
    attributes = "CHANGELOG.md merge=union\n*.lock -merge\nmine.txt merge=ours\n"
    files = {".gitattributes": attributes, "CHANGELOG.md": "# Changes\n", "x.lock": lines, "mine.txt": lines}
    project = Project.make(tmp_path / "p", {**files, "plain.txt": "p\n"})
    plan = {
        "workstreams": [
            workstream("a", sh("echo of a >>CHANGELOG.md"), edit("mine.txt", "one", "ONE")),
            workstream("b", sh("echo of b >>CHANGELOG.md"), edit("mine.txt", "five", "FIVE")),
            workstream("c", edit("x.lock", "one", "ONE"), write("plain.txt", "of c\n")),
            workstream("d", edit("x.lock", "five", "FIVE")),
            workstream("e", write(".gitattributes", "* merge=union\n"), write("plain.txt", "of e\n")),
        ]
    }
    ran = project.run(plan, {**MERGE, "approvals": {"protected": "allow"}})
    assert ran.code == 5, ran.err
    assert merges(project) == ["a", "b", "c"]
    assert project.show("main", "CHANGELOG.md") == "# Changes\nof a\nof b\n"
    assert fate(ran, "d")["reason"] == "it conflicts with c in x.lock"
    assert fate(ran, "e")["reason"] == "it conflicts with c in plain.txt"
    assert ran.json["warnings"] == [
        "mine.txt was merged by lines: the driver ours of .gitattributes does not count here"
    ]
    queue = artefact(ran, "merge_queue.json")
    assert [one["between"] for one in queue["conflicts"]] == [["c", "d"], ["c", "e"]]


def test_two_that_pass_alone_and_fail_together(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    script = "! (test -f one.txt && test -f two.txt)"
    plan = {
        "workstreams": [
            *(workstream(name, write(f"{name}.txt", "x\n")) for name in ("a", "one", "p", "two", "z")),
            workstream("then", write("then.txt", "x\n"), depends_on=["two"]),
        ]
    }
    ran = project.run(plan, {**MERGE, "gates": [gate("apart", script)]})
    assert ran.code == 5, ran.err
    assert fate(ran, "two") == {
        "id": "two", "state": "FAILED", "reason": "together with what is merged before it, it fails apart"
    }  # fmt: skip
    assert fate(ran, "then")["reason"] == "it builds on two, which was dropped"
    assert merges(project) == ["a", "one", "p", "z"]
    assert passes(project, script)


def test_a_gate_that_looks_at_some_files_sees_all_that_changed(tmp_path: Path) -> None:
    """Its files are changed by one workstream and it breaks by another, built on the first, that has them already."""
    project = Project.make(tmp_path / "p")
    script = "! (test -f a.txt && test -f b.txt)"
    plan = {
        "workstreams": [
            workstream("a", write("a.txt", "x\n")),
            workstream("b", write("b.txt", "x\n"), depends_on=["a"]),
        ]
    }
    phases = ["batch", "validation"]
    ran = project.run(plan, {**MERGE, "gates": [gate("apart", script, when=["a.txt"], phases=phases)]})
    assert ran.code == 5, ran.err
    assert fate(ran, "b")["reason"] == "together with what is merged before it, it fails apart"
    assert passes(project, script)


def test_nobody_is_blamed_for_a_merge_that_could_not_be_checked(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    before = project.git("rev-parse", "main")
    script = "test -f one.txt && test -f two.txt || exit 0; test -f z.txt && exit 1; exit 7"
    plan = {"workstreams": [workstream(name, write(f"{name}.txt", "x\n")) for name in ("one", "two", "z")]}
    ran = project.run(plan, {**MERGE, "gates": [gate("moody", script, error_codes=[7])]})
    assert (ran.code, ran.json["shipped"]) == (1, None)
    assert "the merge result could not be checked" in ran.err
    assert {w["reason"] for w in ran.json["workstreams"]} == {"not merged"}
    assert project.git("rev-parse", "main") == before


def test_what_builds_on_a_workstream_that_lost_its_place_does_not_bring_its_work_in(tmp_path: Path) -> None:
    """The repair of a conflict fails; another that was built on the first one's batch had passed long before."""
    project = Project.make(tmp_path / "p")
    plan = {
        "workstreams": [
            workstream("a", write("shared.txt", "a\n"), priority=2),
            workstream("b", write("shared.txt", "b\n"), priority=1, repair_scripts=[[{"fail": "no idea"}]]),
            workstream("on_b", write("on_b.txt", "more\n"), depends_on=["b"]),
        ]
    }
    ran = project.run(plan, {**MERGE, "merge": {"on_conflict": "repair"}, "retry": {"max_attempts": 1}})
    assert ran.code == 5, ran.err
    assert project.show("main", "shared.txt") == "a\n"
    assert project.show("main", "on_b.txt") is None
    assert merges(project) == ["a"]
    assert fate(ran, "on_b")["reason"] == "it builds on b, which is not merged"


def test_a_repair_that_was_made_on_what_is_dropped_since_is_dropped_too(tmp_path: Path) -> None:
    """`c` repairs its conflict on a merge that holds `b`; `b` is done again and fails: `c` would bring its work in."""
    project, flag = Project.make(tmp_path / "p"), tmp_path / "flags" / "flag"
    flag.parent.mkdir()
    plan = {
        "workstreams": [
            workstream("b", write("b.txt", "b\n"), sh(f"! test -e {flag}"), priority=2),
            workstream("a", write("shared.txt", "a\n"), priority=1),
            workstream("c", write("shared.txt", "c\n"), repair_scripts=[[write("shared.txt", "both\n")]]),
        ]
    }
    settings = {
        "merge": {"on_conflict": "repair"},
        "retry": {"max_attempts": 1},
        "sandbox": {"writable": [str(flag.parent)]},
    }
    assert project.run(plan, settings).code == 0
    flag.touch()
    again = project.branchline("retry", project.records()[0]["run_id"], "task_007_execute_b", "--json")
    assert again.code == 5, again.err
    assert fate(again, "c")["reason"].endswith("it holds the work of b, which is not merged")
    integrated = [r for r in project.records() if r["event"] == "integration_complete"][-1]
    assert integrated["context"]["merged"] == ["a"]
    assert project.show(integrated["context"]["commit"], "b.txt") is None
