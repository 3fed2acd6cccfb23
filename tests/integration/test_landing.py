"""What a user does to the target while a run works: only the batch's own change lands, or nothing does and a word is said."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support import Json, Project, Ran, edit, fate, gate_outside, workstream, write

SETTINGS: Json = {"ship": {"mode": "merge"}, "approvals": {"ship": True}, "gates": [{"id": "ok", "verify": ["true"]}]}
PLAN: Json = {
    "workstreams": [
        workstream("a", write("a.txt", "a\n"), edit("src/x.py", "x = 1", "x = 2")),
        workstream("b", write("b.txt", "b\n"), depends_on=["a"]),
        workstream("c", write("c.txt", "c\n")),
    ]
}
BATCH = {"a.txt", "b.txt", "c.txt"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a run that waits for somebody to say that it may ship; tests work on copies of it."""
    project = Project.make(tmp_path_factory.mktemp("waits") / "p")
    project.commit("oops", {"oops.csv": "secret\n"})
    project.commit("later", {"later.txt": "l\n"})
    ran = project.run(PLAN, SETTINGS)
    assert ran.code == 4, ran.err
    return project.root


@pytest.fixture
def waiting(template: Path, tmp_path: Path) -> Project:
    shutil.copytree(template, tmp_path / "p", symlinks=True)
    return Project(tmp_path / "p")


def run_id(project: Project) -> str:
    (name,) = (path.name for path in (project.root / ".runs").iterdir() if (path / "logs").is_dir())
    return name


def approved(project: Project) -> Ran:
    """Say yes to what waits, and to the merge that is made again because the target moved."""
    ran = project.branchline("approve", "--json")
    return project.branchline("approve", "--json") if ran.code == 4 else ran


def holds(project: Project, commit: str, branch: str = "main") -> bool:
    return project.git("merge-base", commit, branch, check=False) == commit


def reset(project: Project) -> None:
    project.git("reset", "--quiet", "--hard", "HEAD~2")


def reset_and_go_on(project: Project) -> None:
    reset(project)
    project.commit("other", {"other.txt": "o\n"})


def amend(project: Project) -> None:
    project.git("reset", "--quiet", "--hard", "HEAD~1")
    project.git("rm", "--quiet", "oops.csv")
    project.commit("not oops", {"fine.csv": "f\n"})
    project.git("reset", "--quiet", "--soft", "HEAD~2")
    project.git("commit", "--quiet", "-m", "fine")


def rebase(project: Project) -> None:
    project.git("rebase", "--quiet", "--onto", "main~2", "main~1", "main")


def fetch_by_force(project: Project) -> None:
    project.git("switch", "--quiet", "-c", "elsewhere")
    other = project.root.parent / "other"
    project.git("clone", "--quiet", str(project.root), str(other))
    project.git("-C", str(other), "reset", "--quiet", "--hard", "HEAD~2")
    project.git("fetch", "--quiet", str(other), "+elsewhere:main")


def delete_and_make_again(project: Project) -> None:
    project.git("switch", "--quiet", "--detach")
    project.git("branch", "-D", "main")
    project.git("branch", "main", "HEAD~2")


def begin_history_again(project: Project) -> None:
    project.git("switch", "--quiet", "--orphan", "fresh")
    project.git("checkout", "main", "--", "src", "README.md", "later.txt")
    project.git("commit", "--quiet", "-m", "squashed")
    project.git("branch", "-M", "fresh", "main")


REWRITTEN: dict[str, Callable[[Project], None]] = {
    "reset": reset,
    "reset, and gone on": reset_and_go_on,
    "amended": amend,
    "rebased": rebase,
    "fetched by force": fetch_by_force,
    "deleted and made again": delete_and_make_again,
    "begun again without a parent": begin_history_again,
}


@pytest.mark.parametrize("what", REWRITTEN)
def test_what_the_user_took_back_does_not_come_back(what: str, waiting: Project) -> None:
    project, base = waiting, waiting.git("rev-parse", "main")
    oops = project.git("rev-parse", "main~1")
    REWRITTEN[what](project)
    tip = project.git("rev-parse", "main")
    before = set(project.files("main"))
    assert "oops.csv" not in before
    ran = approved(project)
    assert ran.code == 0, ran.err
    landed = project.git("rev-parse", "main")
    assert ran.json["shipped"]["commit"] == ran.json["integration"]["commit"] == landed
    assert set(project.files("main")) == before | BATCH
    assert project.show("main", "src/x.py") == "x = 2\n"
    assert not holds(project, oops)
    assert not holds(project, base)
    assert project.git("log", "--format=%s", f"{tip}..main").splitlines() == [
        f"Merge workstream {name}" for name in ("c", "b", "a")
    ]
    assert project.git("log", "--format=%an", "--min-parents=2", "main") == ""
    if project.git("branch", "--show-current") == "main":
        assert (project.root / "b.txt").read_text() == "b\n"
    assert project.git("status", "--porcelain") == ""
    if what in {"rebased", "begun again without a parent"}:
        assert project.branchline("verify").code == 0
        assert project.branchline("rollback", run_id(project)).code == 0
        assert set(project.files("main")) == before
        assert project.show("main", "src/x.py") == "x = 1\n"


def test_what_landed_as_the_coordinator_died_lands_once(waiting: Project) -> None:
    """It was integrated again on a target that had been reset, and nothing but git knows that it landed."""
    run = run_id(waiting)
    reset_and_go_on(waiting)
    assert waiting.branchline("approve").code == 4
    shutil.copytree(waiting.root / ".runs" / run / "logs", waiting.root.parent / "before")
    mark = waiting.git("rev-parse", f"refs/branchline/{run}/head")
    assert approved(waiting).code == 0
    landed = waiting.git("rev-parse", "main")
    waiting.commit("later", {"much_later.txt": "l\n"})
    shutil.rmtree(waiting.root / ".runs" / run / "logs")
    shutil.copytree(waiting.root.parent / "before", waiting.root / ".runs" / run / "logs")
    waiting.git("update-ref", f"refs/branchline/{run}/head", mark)
    tip = waiting.git("rev-parse", "main")
    again = waiting.branchline("approve", "--json")
    assert again.code == 0, again.err
    assert again.json["shipped"] == {"target": "main", "commit": landed, "tag": f"release/{run}"}
    assert waiting.git("rev-parse", "main") == tip
    assert [fate(again, name)["state"] for name in ("a", "b", "c")] == ["COMPLETED"] * 3
    assert waiting.branchline("verify").code == 0


def test_a_revert_stays_reverted(waiting: Project) -> None:
    waiting.git("revert", "--no-edit", "main~1")
    assert approved(waiting).code == 0
    assert set(waiting.files("main")) == BATCH | {"README.md", "later.txt", "old.txt", "src/x.py"}


def test_a_batch_that_changes_what_the_user_took_away_does_not_ship(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    oops = project.commit("oops", {"oops.csv": "secret\n"})
    plan = {
        "workstreams": [
            workstream("a", edit("oops.csv", "secret", "secret, and more")),
            workstream("on_a", write("on_a.txt", "o\n"), depends_on=["a"]),
        ]
    }
    assert project.run(plan, SETTINGS).code == 4
    project.git("reset", "--quiet", "--hard", "HEAD~1")
    tip = project.git("rev-parse", "main")
    ran = approved(project)
    assert (ran.code, ran.json["shipped"]) == (1, None)
    assert (
        "main moved, and nothing merges with it: a: it conflicts with what was merged before it in oops.csv" in ran.err
    )
    assert project.git("rev-parse", "main") == tip
    assert not holds(project, oops)


def test_a_user_who_merged_the_result_has_shipped_it(waiting: Project) -> None:
    run = run_id(waiting)
    waiting.commit("mine", {"mine.txt": "m\n"})
    waiting.git("merge", "--quiet", "--no-edit", f"integration/{run}")
    tip = waiting.git("rev-parse", "main")
    ran = approved(waiting)
    assert ran.code == 0, ran.err
    assert waiting.git("rev-parse", "main") == tip
    assert ran.json["shipped"]["commit"] == waiting.git("rev-parse", f"integration/{run}", f"release/{run}").split()[1]
    assert waiting.branchline("verify").code == 0


def test_a_user_who_squashed_the_result_has_nothing_left_to_ship(waiting: Project) -> None:
    waiting.git("merge", "--quiet", "--squash", f"integration/{run_id(waiting)}")
    waiting.git("commit", "--quiet", "-m", "squashed")
    tip = waiting.git("rev-parse", "main")
    ran = approved(waiting)
    assert ran.code == 1
    assert "main moved, and holds all that is to be merged already" in ran.err
    assert waiting.git("rev-parse", "main") == tip


def test_a_checkout_that_went_to_another_branch_is_left_alone(waiting: Project) -> None:
    waiting.git("switch", "--quiet", "-c", "elsewhere")
    waiting.write({"src/x.py": "x = 'mine'\n"})
    ran = approved(waiting)
    assert ran.code == 0, ran.err
    assert waiting.show("main", "src/x.py") == "x = 2\n"
    assert waiting.git("status", "--porcelain") == "M src/x.py"


def test_a_target_that_was_renamed_is_gone(waiting: Project) -> None:
    waiting.git("branch", "-m", "main", "trunk")
    ran = approved(waiting)
    assert (ran.code, ran.json["shipped"]) == (1, None)
    assert "the target branch main is gone" in ran.err
    assert set(waiting.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()) & {"main", "trunk"} == {
        "trunk"
    }


def stop_in_a_rebase(project: Project) -> None:
    project.env["GIT_SEQUENCE_EDITOR"] = "sed -i 1s/pick/edit/"
    project.git("-c", "sequence.editor=sed -i 1s/pick/edit/", "rebase", "--quiet", "-i", "HEAD~1")


def stop_in_a_merge(project: Project) -> None:
    project.git("branch", "side", "HEAD~1")
    project.git("merge", "--quiet", "--no-ff", "--no-commit", "-s", "ours", "side~1", check=False)
    (project.root / ".git" / "MERGE_HEAD").write_text(project.git("rev-parse", "side") + "\n")


HELD: dict[str, tuple[Callable[[Project], object], str, str]] = {
    "rebase": (stop_in_a_rebase, "a rebase of main is in progress at {root}", "git rebase --abort"),
    "bisect": (
        lambda p: p.git("bisect", "start", "HEAD", "HEAD~2"),
        "a bisect that began on main is in progress at {root}",
        "git bisect reset",
    ),
    "merge": (stop_in_a_merge, "git merge is in progress at {root}, which is on main", "git merge --abort"),
    "two checkouts": (
        lambda p: p.git("worktree", "add", "--quiet", "--force", str(p.root.parent / "second"), "main"),
        "main is checked out at {root} and at {root}/../second",
        "git worktree remove ../second",
    ),
    "a name that stands for it": (
        lambda p: (p.git("branch", "-m", "trunk"), p.git("symbolic-ref", "refs/heads/main", "refs/heads/trunk")),
        "main only stands for trunk",
        "git symbolic-ref --delete refs/heads/main && git branch -m trunk main",
    ),
    "a tag in the way": (
        lambda p: p.git("tag", "release"),
        "the tag release is in the way: git cannot make the tag release/",
        "git tag -d release",
    ),
    "the tag itself": (
        lambda p: p.git("tag", f"release/{run_id(p)}", "HEAD~1"),
        "the tag release/{run} exists already",
        "git tag -d release/{run}",
    ),
}


@pytest.mark.parametrize("what", HELD)
def test_nothing_ships_to_what_something_else_holds(what: str, waiting: Project) -> None:
    """And everybody who looks says so: exit code, recap, status, verify, rollback. Once it is free, it ships."""
    begin, text, end = HELD[what]
    project, run = waiting, run_id(waiting)
    begin(project)
    refs = project.git("for-each-ref", "refs/heads", "refs/tags")
    status = project.git("status", "--porcelain")
    ran = project.branchline("approve", "--json")
    assert (ran.code, ran.json["status"], ran.json["shipped"]) == (1, "failed", None), ran.err
    said = text.format(root=project.root, run=run).replace(f"{project.root}/..", str(project.root.parent))
    assert said in fate(ran, "a")["reason"]
    assert project.git("for-each-ref", "refs/heads", "refs/tags") == refs
    assert project.git("status", "--porcelain") == status
    if what in {"rebase", "the tag itself"}:
        assert project.branchline("status", run, "--json").json["next"].startswith("git ")
        assert project.branchline("verify", run).code == 0
        assert project.branchline("rollback", run).code == 2
    project.git("config", "alias.do", f"!{end.format(run=run)}")
    project.git("do")
    again = approved(project) if project.branchline("resume", run).code == 4 else project.branchline("show", "--json")
    assert again.code == 0, again.err
    assert project.show("main", "b.txt") == "b\n"
    assert project.git("status", "--porcelain") == ""


REAL = shutil.which("git")
BROKEN = {
    "no git works any more once the files are written": f"""
        test ! -e $0.broken || exit 128
        case "$*" in *"read-tree -m -u"*) touch $0.broken; exit 128;; esac
        exec {REAL} "$@"
        """,
    "files are written halfway": f"""
        case "$*" in *"read-tree -m -u"*) echo half > {{root}}/a.txt; exit 128;; esac
        exec {REAL} "$@"
        """,
}


def git_that_breaks(project: Project, script: str) -> str:
    """A PATH on which git fails at one point."""
    folder = project.root.parent / "bin"
    folder.mkdir()
    (folder / "git").write_text("#!/bin/sh\n" + script.replace("{root}", str(project.root)))
    (folder / "git").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize("what", BROKEN)
def test_whatever_fails_once_the_target_has_moved_it_has_shipped(what: str, waiting: Project) -> None:
    project, run, old = waiting, run_id(waiting), waiting.git("rev-parse", "main")
    ran = project.branchline("approve", PATH=git_that_breaks(project, BROKEN[what]))
    tip = project.git("rev-parse", "main")
    assert tip != old, ran.err
    state = project.branchline("show", run, "--json").json
    if state["status"] == "interrupted":
        assert ran.code != 0
        state = project.branchline("resume", run, "--json").json
    assert (state["status"], state["shipped"]["commit"], state["shipped"]["tag"]) == (
        "succeeded",
        tip,
        f"release/{run}",
    )
    (warning,) = state["warnings"]
    assert f"{project.root} is not all at {tip[:12]} yet" in warning
    assert project.git("status", "--porcelain", check=False) != ""
    project.git("config", "alias.do", "!" + warning.rpartition("once the cause is gone: ")[2])
    project.git("do")
    assert project.git("status", "--porcelain") == ""
    assert (project.root / "a.txt").read_text() == "a\n"
    assert project.branchline("verify", run).code == 0
    assert project.branchline("rollback", run).code == 0
    assert project.git("rev-parse", "main^{tree}") == project.git("rev-parse", f"{old}^{{tree}}")


def test_a_tag_that_cannot_be_written_keeps_the_target_where_it_is(waiting: Project) -> None:
    run, old = run_id(waiting), waiting.git("rev-parse", "main")
    lock = waiting.root / ".git" / "refs" / "tags" / "release" / f"{run}.lock"
    lock.parent.mkdir()
    lock.touch()
    ran = waiting.branchline("approve", "--json")
    assert (ran.code, ran.json["shipped"]) == (1, None)
    assert waiting.git("rev-parse", "main") == old
    assert waiting.git("status", "--porcelain") == ""
    lock.unlink()
    assert waiting.branchline("resume", run).code == 4
    assert approved(waiting).code == 0


def apart(project: Project) -> Project:
    project.git("init", "--quiet", f"--separate-git-dir={project.root.parent}/gd")
    return project


def apart_and_linked(project: Project) -> Project:
    """The target is checked out where the git directory is not."""
    apart(project)
    project.git("config", "core.worktree", str(project.root))
    project.git("worktree", "add", "--quiet", "-b", "side", "../side")
    return Project(project.root.parent / "side")


def submodule(project: Project) -> Project:
    above = Project.make(project.root.parent / "above")
    above.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(project.root), "sub")
    return Project(above.root / "sub")


def bare(project: Project) -> Project:
    project.git("clone", "--quiet", "--bare", str(project.root), "../bare.git")
    project.git("-C", "../bare.git", "worktree", "add", "--quiet", "../desk", "main")
    return Project(project.root.parent / "desk")


def deleted_by_hand(project: Project) -> Project:
    project.git("switch", "--quiet", "-c", "side")
    project.git("worktree", "add", "--quiet", "../gone", "main")
    shutil.rmtree(project.root.parent / "gone")
    return project


PLACES = {"apart": apart, "linked": apart_and_linked, "submodule": submodule, "bare": bare, "deleted": deleted_by_hand}


@pytest.mark.parametrize("what", PLACES)
def test_the_checkout_of_the_target_goes_along_wherever_git_keeps_it(what: str, tmp_path: Path) -> None:
    project = PLACES[what](Project.make(tmp_path / "p"))
    ran = project.run(
        {"workstreams": [workstream("a", write("a.txt", "a\n"))]}, {"ship": {"mode": "merge"}}, "--base", "main"
    )
    assert ran.code == 0, ran.err
    assert project.show("main", "a.txt") == "a\n"
    place = {"linked": tmp_path / "p", "deleted": None}.get(what, project.root)
    if place is not None:
        assert (place / "a.txt").read_text() == "a\n"
        assert Project(place).git("status", "--porcelain") == ""
    assert project.branchline("rollback", ran.json["run_id"]).code == 0
    assert project.show("main", "a.txt") is None


def test_a_target_that_is_rewritten_while_the_new_merge_is_tested(tmp_path: Path) -> None:
    """Each time it moves again: a commit more, then back to before the base, then on."""
    project, count = Project.make(tmp_path / "p"), tmp_path / "count"
    oops = project.commit("oops", {"oops.csv": "secret\n"})
    commit = "git -c user.name=x -c user.email=x@example.org commit -q --allow-empty -m"
    moves = f"""
        n=$(cat {count} 2>/dev/null || echo 0); echo $((n + 1)) >{count}; unset GIT_DIR GIT_WORK_TREE; cd {project.root}
        case $n in 0) {commit} first;; 1) git reset -q --hard HEAD~2;; 2) {commit} second;; esac
        """
    gates = [gate_outside(tmp_path, "moves", moves, phases=["integration"])]
    ran = project.run(
        {"workstreams": [workstream("a", write("a.txt", "a\n"))]}, {"ship": {"mode": "merge"}, "gates": gates}
    )
    assert ran.code == 0, ran.err
    assert count.read_text() == "4\n"
    subjects = project.git("log", "--format=%s", "main").splitlines()
    assert subjects == ["Merge workstream a", "second", "first commit"]
    assert not holds(project, oops)
    assert project.git("status", "--porcelain") == ""


def test_a_target_that_is_deleted_while_the_merge_is_tested(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    project.git("branch", "work")
    gates = [
        gate_outside(
            tmp_path, "deletes", f"unset GIT_DIR; git -C {project.root} branch -D work", phases=["integration"]
        )
    ]
    plan = {"workstreams": [workstream("a", write("a.txt", "a\n"))]}
    ran = project.run(plan, {"ship": {"mode": "merge"}, "gates": gates}, "--base", "work")
    assert (ran.code, ran.json["shipped"]) == (1, None)
    assert "the target branch work is gone" in fate(ran, "a")["reason"]
    assert project.git("for-each-ref", "refs/heads/work", "refs/tags") == ""


def test_what_a_user_picked_alone_is_taken_as_there(waiting: Project) -> None:
    """A reset, then one workstream's commit picked: the others land on it; a rollback leaves what the user picked."""
    run = run_id(waiting)
    reset(waiting)
    waiting.git("cherry-pick", f"feature/a-{run}")
    ran = approved(waiting)
    assert ran.code == 0, ran.err
    assert [fate(ran, name)["state"] for name in ("a", "b", "c")] == ["COMPLETED"] * 3
    assert waiting.git("log", "--format=%s", "main").splitlines()[:2] == ["Merge workstream c", "Merge workstream b"]
    assert waiting.branchline("rollback", run).code == 0
    assert {"a.txt", "b.txt", "c.txt"} & set(waiting.files("main")) == {"a.txt"}
