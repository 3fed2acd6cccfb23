"""A target that moves while the run goes, or that is checked out where files are in the way."""

from pathlib import Path

from support import Json, Project, Ran, fate, gate, gate_outside, workstream, write
from witness import assert_no_worktrees, assert_refused, assert_untouched, files_below, see

MERGE: Json = {"ship": {"mode": "merge"}}
PLAN: Json = {"workstreams": [workstream("a", write("hello.txt", "hello\n"), write("src/x.py", "x = 2\n"))]}
IDENTITY = "-c user.name=x -c user.email=x@example.org"


def commits_to_main(root: Path, shell: str) -> str:
    """A script that once, whatever runs it how often, commits on main as another person at another desk would."""
    return (
        f"test -e {root}.moved || {{ touch {root}.moved && cd {root} && unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE && "
        f"{shell} && git add -A && git {IDENTITY} commit -q -m moved; }}"
    )


def test_a_target_that_moved_is_integrated_anew_and_tested_again(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    seen = tmp_path / "seen"
    gates = [gate("trees", f"git -C . ls-files --others --cached | sort | tr '\\n' ' ' >> {seen}; echo >> {seen}")]
    moves = gate_outside(
        tmp_path, "moves", commits_to_main(project.root, "echo theirs > theirs.txt"), phases=["integration"]
    )
    ran = project.run(PLAN, {**MERGE, "gates": [*gates, moves]})
    assert ran.code == 0, ran.err
    head = project.git("rev-parse", "main")
    assert ran.json["shipped"]["commit"] == ran.json["integration"]["commit"] == head
    assert project.git("rev-parse", ran.json["integration"]["branch"], ran.json["shipped"]["tag"]) == f"{head}\n{head}"
    assert project.show("main", "theirs.txt") == "theirs\n"
    assert project.show("main", "hello.txt") == "hello\n"
    assert project.git("log", "--format=%s", "--first-parent", "main").splitlines()[1:] == ["moved", "first commit"]
    tested = [line for line in seen.read_text().splitlines() if "theirs.txt" in line and "hello.txt" in line]
    assert tested, seen.read_text()
    assert project.git("status", "--porcelain") == ""
    assert_no_worktrees(project)


def test_a_target_that_moved_against_the_change_is_left_alone(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    moves = gate_outside(
        tmp_path, "moves", commits_to_main(project.root, "echo 'x = 9' > src/x.py"), phases=["integration"]
    )
    ran = project.run(PLAN, {**MERGE, "gates": [moves]})
    assert_refused(ran, 1)
    assert ran.json["shipped"] is None
    reason = fate(ran, "a")["reason"]
    assert "main moved, and nothing merges with it" in reason
    assert "src/x.py" in reason
    assert project.git("log", "--format=%s", "main").splitlines() == ["moved", "first commit"]
    assert project.show("main", "src/x.py") == "x = 9\n"
    assert project.show(ran.json["integration"]["branch"], "src/x.py") == "x = 2\n"
    assert project.git("status", "--porcelain") == ""


def test_a_clean_checkout_of_the_target_is_moved_in_place(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    project.write({"mine.txt": "untracked, in nobody's way\n"})
    before = files_below(project.root)
    ran = project.run(PLAN, MERGE)
    assert ran.code == 0, ran.err
    after = files_below(project.root)
    assert {name for name in after if after[name] != before.get(name)} == {"hello.txt", "src/x.py"}
    assert after.keys() - before.keys() == {"hello.txt"}
    assert project.git("status", "--porcelain") == "?? mine.txt"
    assert project.git("symbolic-ref", "HEAD") == "refs/heads/main"


def test_a_dirty_checkout_of_the_target_keeps_it_where_it_is(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    project.write({"README.md": "# mine, staged\n", "old.txt": "mine, not staged\n", "notes.txt": "untracked\n"})
    project.git("add", "README.md")
    before = see(project)
    ran = project.run(PLAN, MERGE)
    assert_refused(ran, 1)
    assert_untouched(project, before)
    reason = fate(ran, "a")["reason"]
    assert "merged, not shipped" in reason
    assert f"{project.root} cannot be fast-forwarded: it has staged changes" in reason
    assert f"{ran.json['integration']['branch']} holds the result" in reason
    ship = _the_way_out(project, ran)
    project.git("stash", "--include-untracked", "--quiet")
    again = project.branchline("retry", ran.json["run_id"], ship, "--json")
    assert again.code == 0, again.err
    assert again.json["shipped"]["commit"] == ran.json["integration"]["commit"] == project.git("rev-parse", "main")
    assert (project.root / "hello.txt").read_text() == "hello\n"
    assert project.git("status", "--porcelain") == ""


def _the_way_out(project: Project, ran: Ran) -> str:
    """The ship task that everybody who looks is told to retry."""
    again = f"branchline retry {ran.json['run_id']} task_012_ship"
    status = project.branchline("status", ran.json["run_id"])
    assert f"commit, stash or move away what is in the way, then: {again}" in status.out
    return "task_012_ship"


def test_an_untracked_file_in_the_way_keeps_the_target_where_it_is(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    project.write({"hello.txt": "mine, and not committed\n"})
    before = see(project)
    ran = project.run(PLAN, MERGE)
    assert_refused(ran, 1)
    assert_untouched(project, before)
    assert "the untracked file hello.txt is in the way" in fate(ran, "a")["reason"]
    _the_way_out(project, ran)
    (project.root / "hello.txt").unlink()
    assert project.branchline("resume", ran.json["run_id"]).code == 0
    assert (project.root / "hello.txt").read_text() == "hello\n"


def test_a_target_checked_out_in_another_worktree_is_moved_there(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    project.git("switch", "--quiet", "--create", "work")
    project.git("worktree", "add", "--quiet", str(tmp_path / "desk"), "main")
    desk = Project(tmp_path / "desk")
    desk.write({"old.txt": "mine, not committed\n"})
    here, there = see(project), see(desk)
    ran = project.run(PLAN, MERGE, "--base", "main")
    assert_refused(ran, 1)
    assert f"{desk.root} cannot be fast-forwarded: old.txt is changed" in fate(ran, "a")["reason"]
    assert (see(project), see(desk)) == (here, there)
    desk.git("checkout", "--quiet", "old.txt")
    again = project.branchline("resume", ran.json["run_id"])
    assert again.code == 0, again.err
    assert (desk.root / "hello.txt").read_text() == "hello\n"
    assert desk.git("status", "--porcelain") == ""
    after = see(project)
    assert (after.files, after.index, after.head) == (here.files, here.index, here.head)
    places = project.git("worktree", "list", "--porcelain").splitlines()
    assert [line for line in places if line.startswith("worktree ")] == [
        f"worktree {project.root}", f"worktree {desk.root}",
    ]  # fmt: skip
