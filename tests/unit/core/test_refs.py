"""The names of refs, and what stands in their way: every answer is tried on a real git."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import branchline
from branchline.core.model.plan import Plan
from branchline.core.refs import (
    Obstacle,
    Refs,
    branch_ref,
    holds_runs,
    in_the_way,
    needed,
    owns,
    remote_ref,
    tag_ref,
    usual_fetch,
)
from support import Project

SRC = Path(branchline.__file__).parent
OTHERS = {
    "git/user_git.py": "the HEAD of a repository of ours, which names no branch",
    "sandbox/probe.py": "files of a repository that is made up",
}
PLAN = msgspec.convert({"version": 1, "goal": "g", "workstreams": [{"id": "a"}, {"id": "b"}]}, Plan)
WANTED = needed("R", PLAN, "merge", "release/{run_id}")


def test_no_other_module_spells_a_ref() -> None:
    found = {
        f"{name}:{line}"
        for path in SRC.rglob("*.py")
        if (name := path.relative_to(SRC).as_posix()) not in {"core/refs.py", *OTHERS}
        for line, text in _literals(path)
        if re.search(r"refs/(heads|tags|remotes|branchline)|^(feature|integration|release)/", text)
    }
    assert found == set()


def _literals(path: Path) -> Iterator[tuple[int, str]]:
    """Every piece of text in a module that is no docstring."""
    tree = ast.parse(path.read_text("utf-8"))
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.lineno, node.value


def test_a_run_names_its_own_refs_below_one_folder() -> None:
    refs = Refs("R")
    own = [
        refs.head, refs.landing, refs.rollback, refs.base("a"), refs.attempt("t", 2), refs.commits("t", 2),
        refs.lost("t", 2, 3), refs.gate("a-1"), refs.sealed("t"), refs.checkpoint("preflight"),
        refs.checkpoint("codegate", "a"), refs.conflict("a"), refs.saved("a"), refs.moved("refs/tags/v1"),
        refs.moved(refs.saved("a")),
    ]  # fmt: skip
    assert [refs.short(one) for one in own] == [
        "head", "landing", "rollback", "base/a", "attempts/t/2", "attempts/t/2-commits",
        "attempts/t/2-lost-3", "gate/a-1", "sealed/t", "checkpoint/preflight",
        "checkpoint/codegate/a", "conflict/a", "saved/a", "moved/tags/v1", "moved/saved/a",
    ]  # fmt: skip
    assert all(one.startswith("refs/branchline/R/") for one in own)
    assert refs.short("refs/heads/main") == "refs/heads/main"


def test_a_tag_is_numbered_when_a_run_ships_again() -> None:
    refs = Refs("R")
    assert [refs.tag("v/{run_id}"), refs.tag("v/{run_id}", 2), refs.tag("v1", 3), refs.tag(""), refs.tag("", 2)] == [
        "v/R", "v/R-2", "v1-3", "", "",
    ]  # fmt: skip


def test_what_a_run_needs() -> None:
    assert WANTED == (
        "refs/branchline/R/head",
        "refs/heads/integration/R",
        "refs/heads/feature/a-R",
        "refs/heads/feature/b-R",
        "refs/tags/release/R",
    )
    assert needed("R", None, "branch", "v1") == (*WANTED[:2], "refs/heads/feature/*-R")
    assert needed("R", PLAN, "merge", "") == WANTED[:4]


@pytest.mark.parametrize(
    "existing",
    [
        "refs/heads/feature",
        "refs/heads/integration",
        "refs/heads/integration/R",
        "refs/heads/integration/R/mine",
        "refs/heads/feature/b-R",
        "refs/tags/release",
        "refs/tags/release/R",
        "refs/tags/release/R/1",
        "refs/branchline",
        "refs/branchline/R",
        "refs/branchline/R/head/x",
    ],
)
def test_git_refuses_what_we_say_it_refuses_and_the_command_mends_it(tmp_path: Path, existing: str) -> None:
    project = Project.make(tmp_path / "p")
    project.git("update-ref", existing, "HEAD")
    (one,) = in_the_way(WANTED, _refs(project))
    assert existing.split("/", 2)[-1] in one.text
    assert not _all_made(project)
    project.git("config", "alias.do", "!" + one.command)
    project.git("do")
    assert in_the_way(WANTED, _refs(project)) == []
    assert _all_made(project)


def _refs(project: Project) -> list[str]:
    return project.git("for-each-ref", "--format=%(refname)").splitlines()


def _all_made(project: Project) -> bool:
    """Whether git makes every ref that a run needs."""
    orders = "".join(f"create {ref} HEAD\n" for ref in WANTED)
    done = subprocess.run(["git", "update-ref", "--stdin"], cwd=project.root, input=orders.encode(), check=False)
    return done.returncode == 0


@pytest.mark.parametrize(
    "existing",
    [
        "refs/heads/main", "refs/heads/features", "refs/heads/feature/a", "refs/heads/feature/a-R2", "refs/tags/feature",
        "refs/heads/release", "refs/heads/Feature", "refs/remotes/feature", "refs/branchline/R/saved/a",
        "refs/branchline/R/head",
    ],
)  # fmt: skip
def test_what_is_in_nobodys_way(existing: str) -> None:
    assert in_the_way(WANTED, [existing]) == []


@pytest.mark.parametrize(
    ("existing", "text"),
    [
        ("refs/heads/Feature", "the branch Feature is in the way: git cannot make the branch feature/a-R beside it"),
        ("refs/heads/INTEGRATION/r", "the branch INTEGRATION/r exists already"),
        (
            "refs/heads/Feature/x",
            "the branch Feature/x is in the way: its folder and that of the branch feature/a-R differ only by case",
        ),
    ],
)
def test_names_that_differ_by_case_clash_where_the_file_system_takes_them_for_one(existing: str, text: str) -> None:
    assert in_the_way(WANTED, [existing]) == []
    assert [one.text for one in in_the_way(WANTED, [existing], ignore_case=True)] == [text]


def test_one_ref_is_told_of_once_and_its_new_name_is_free() -> None:
    existing = ["refs/heads/feature", "refs/heads/feature-old", "refs/heads/feature-old-1"]
    assert in_the_way(WANTED, existing) == [
        Obstacle(
            "the branch feature is in the way: git cannot make the branch feature/a-R beside it",
            "git branch -m feature feature-old-2",
        )
    ]


def test_names_of_branches_and_tags() -> None:
    assert (branch_ref("main"), tag_ref("v1")) == ("refs/heads/main", "refs/tags/v1")


@pytest.mark.parametrize(
    ("pattern", "holds"),
    [("refs/*", True), ("refs/heads/*", True), ("refs/tags/*", True), ("refs/remotes/origin/*", False), ("", False)],
)
def test_where_a_fetch_that_prunes_would_meet_runs(pattern: str, *, holds: bool) -> None:
    assert holds_runs(pattern) is holds
    assert not holds_runs(usual_fetch("origin").partition(":")[2])


def test_full_names() -> None:
    assert (branch_ref("a/b"), tag_ref("v1")) == ("refs/heads/a/b", "refs/tags/v1")
    assert remote_ref("main") == "refs/remotes/origin/main"


def test_which_refs_only_one_run_writes() -> None:
    own = ["refs/branchline/R/head", "refs/branchline/R/a/b", "refs/heads/integration/R", "refs/heads/feature/a-R"]
    others = [
        "refs/branchline/R2/head",
        "refs/heads/main",
        "refs/heads/feature/a",
        "refs/tags/feature/a-R",
        "integration/R",
    ]
    assert [owns("R", ref) for ref in own] == [True] * 4
    assert [owns("R", ref) for ref in others] == [False] * 5
    assert not any(owns("", ref) for ref in [*own, *others])
