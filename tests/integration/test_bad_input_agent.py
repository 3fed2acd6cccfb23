"""Agents that misbehave in their worktree's files: out of scope, out of the worktree, things no tree can hold."""

import os
from pathlib import Path

from support import Json, Project, fate, gate, sh, workstream, write
from witness import assert_no_worktrees, assert_untouched, see

MERGE: Json = {"ship": {"mode": "merge"}}
ONCE: Json = {**MERGE, "repair": {"rounds": 0}, "retry": {"max_attempts": 1}}


def feedback(run_dir: Path, batch: str) -> str:
    return (run_dir / "gate" / "rejected" / batch / "report.md").read_text()


def saved(project: Project, run_id: str, name: str, path: str) -> list[str | None]:
    """What the saved worktrees of a workstream hold at a path."""
    refs = project.git("for-each-ref", "--format=%(refname)", f"refs/branchline/{run_id}/saved/").splitlines()
    mine = [ref for ref in refs if ref.rpartition("/")[2].startswith(name)]
    return [project.show(ref, path) for ref in mine]


def test_out_of_scope_is_repaired_or_quarantined_and_never_lands(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    strays = [write("src/{}.py", "y = 1\n"), write("old.txt", "not mine to change\n"), write("stray.txt", "s\n")]

    def script(name: str) -> list[Json]:
        return [write(f"src/{name}.py", "y = 1\n"), *strays[1:]]

    plan = {
        "workstreams": [
            workstream("learns", *script("learns"), write=["src/**"], repair_scripts=[[sh("rm stray.txt; git checkout -q old.txt")]]),
            workstream("insists", *script("insists"), write=["src/**"], repair_scripts=[[write("src/m.py", "z\n")], [write("src/n.py", "z\n")]]),
            workstream("protected", write("src/key.py", "k\n"), scope={"write": ["src/**"], "protect": ["src/key.*"]}),
            workstream("guarded", write(".github/workflows/ci.yml", "on: push\n"), write("branchline.yaml", "version: 1\n")),
            workstream("deletes", {"delete": {"path": "README.md"}}, write=["src/**"]),
        ]
    }  # fmt: skip
    ran = project.run(plan, {**MERGE, "approvals": {"protected": "reject"}})
    assert ran.code == 5, ran.err
    states = {w["id"]: w["state"] for w in ran.json["workstreams"]}
    assert states.pop("learns") == "COMPLETED"
    assert set(states.values()) == {"FAILED"}
    assert project.files("main") == ["README.md", "old.txt", "src/learns.py", "src/x.py"]
    assert project.show("main", "old.txt") == "o\n"
    run_dir = Path(ran.json["run_dir"])
    assert "'stray.txt': outside the workstream's scope" in feedback(run_dir, "learns-1")
    assert "'old.txt': outside the workstream's scope" in feedback(run_dir, "insists-3")
    assert "'src/key.py': protected by the workstream's scope" in feedback(run_dir, "protected-1")
    assert "'.github/workflows/ci.yml': a protected path" in feedback(run_dir, "guarded-1")
    assert "'README.md': outside the workstream's scope" in feedback(run_dir, "deletes-1")
    reason = "scope: 'old.txt': outside the workstream's scope and 1 more"
    assert fate(ran, "insists")["reason"] == f"batch insists-3 rejected: {reason}"
    assert saved(project, ran.json["run_id"], "insists", "stray.txt") == ["s\n"]
    assert project.git("status", "--porcelain") == ""
    assert_no_worktrees(project)


def test_what_is_written_outside_the_worktree_never_lands(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    plan = {
        "workstreams": [
            workstream("a", sh(f"echo x > ../../escaped.txt; echo more >> {project.root}/README.md"), write("a.txt", "a\n")),
            workstream("b", write("b.txt", "b\n"), write("../../up.txt", "u\n")),
        ]
    }  # fmt: skip
    before = project.git("rev-parse", "main")
    ran = project.run(plan, {**ONCE, "ship": {"mode": "merge"}})
    assert ran.code == 1, ran.err
    assert "README.md is changed" in fate(ran, "a")["reason"]
    assert "'../../up.txt' is not a file inside the worktree" in fate(ran, "b")["reason"]
    assert project.git("rev-parse", "main") == before
    assert project.files(ran.json["integration"]["branch"]) == ["README.md", "a.txt", "old.txt", "src/x.py"]
    assert project.show(ran.json["integration"]["branch"], "README.md") == "# A project\n"
    assert not (project.work() / "up.txt").exists()


def test_what_no_tree_can_hold_is_refused_with_its_reason(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    (tmp_path / "secret").write_text("s3cret\n")
    before = see(project)
    device = "mknod old.txt c 1 3" if os.geteuid() == 0 else "mkfifo old.txt"
    scripts = {
        "fifo": ("rm old.txt; mkfifo old.txt", "'old.txt': it is a device, a pipe or a socket"),
        "device": (f"rm old.txt; {device}", "'old.txt': it is a device, a pipe or a socket"),
        "sparse": ("truncate -s 60000000 huge", "'huge': it holds 60000000 bytes, more than 50000000"),
        "nested": ("git init -q inner; echo f > inner/f.txt", "'inner': a nested repository"),
        "outward": ("ln -s ../../../../../secret link", "'link': it is a link that leaves the tree"),
        "absolute": (f"ln -s {tmp_path}/secret link", "'link': it is a link to an absolute path"),
        "intogit": ("ln -s .git/config link", "'link': it is a link into git's own folder"),
        "folder": ("rm -r src; ln -s / src", "'src': it is a link to an absolute path"),
        "dotgit": ("mkdir -p sub/.GIT; echo x > sub/.GIT/config", "its name means git's own folder"),
    }
    plan = {
        "workstreams": [workstream(name, write("ok.txt", "o\n"), sh(script)) for name, (script, _) in scripts.items()]
    }
    ran = project.run(plan, ONCE)
    assert ran.code == 1, ran.err
    assert ran.json["integration"] is None
    run_dir = Path(ran.json["run_dir"])
    for name, (_, reason) in scripts.items():
        assert fate(ran, name)["state"] == "FAILED"
        assert reason in feedback(run_dir, f"{name}-1"), name
    assert_untouched(project, before)
    assert all("s3cret" not in path.read_text(errors="replace") for path in run_dir.rglob("*.patch"))


def test_a_file_too_large_to_copy_is_kept_all_the_same(tmp_path: Path) -> None:
    """A sparse terabyte costs nothing to make; saving it must not cost the run its end, nor lose it."""
    project = Project.make(tmp_path / "p")
    plan = {
        "workstreams": [
            workstream("huge", sh("truncate -s 1T huge.bin")),
            workstream("fine", write("fine.txt", "f\n")),
        ]
    }
    ran = project.run(plan, {**MERGE, "limits": {"file_mb": None}, "repair": {"rounds": 0}})
    assert ran.code == 5, ran.err
    assert project.files("main") == ["README.md", "fine.txt", "old.txt", "src/x.py"]
    assert "'huge.bin': it holds 1099511627776 bytes" in feedback(Path(ran.json["run_dir"]), "huge-1")
    kept = [path for path in Path(ran.json["run_dir"]).rglob("huge.bin") if path.is_file()]
    assert [path.stat().st_size for path in kept] == [2**40]


def test_a_pipe_that_git_does_not_see_does_not_land_and_stops_nothing(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    ran = project.run({"workstreams": [workstream("a", write("a.txt", "a\n"), sh("mkfifo pipe dir.fifo"))]}, MERGE)
    assert ran.code == 0, ran.err
    assert project.files("main") == ["README.md", "a.txt", "old.txt", "src/x.py"]
    assert project.git("status", "--porcelain") == ""


def test_a_gate_sees_neither_what_was_refused_nor_what_is_ignored(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    project.commit("ignore", {".gitignore": "*.tmp\n"})
    plan = {"workstreams": [workstream("a", write("a.txt", "a\n"), write("cache.tmp", "c\n"))]}
    ran = project.run(plan, {**MERGE, "gates": [gate("clean", "! test -e cache.tmp && echo junk > made.txt")]})
    assert ran.code == 0, ran.err
    assert project.files("main") == [".gitignore", "README.md", "a.txt", "old.txt", "src/x.py"]
    assert saved(project, ran.json["run_id"], "a", "cache.tmp") == ["c\n"]
