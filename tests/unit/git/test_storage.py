"""What a run cannot honour is found before it, with the command that helps."""

import shutil
from pathlib import Path

import pytest

from branchline.core.refs import Obstacle
from branchline.git.repo import Repo
from branchline.git.storage import fetch, problems
from unit.git.sandbox import Sandbox
from unit.git.users import check_out, needs_crypt, needs_lfs

LFS = {
    "clean": "git-lfs clean -- %f",
    "smudge": "git-lfs smudge -- %f",
    "process": "git-lfs filter-process",
    "required": "true",
}


def found(root: Path, ship: str = "merge") -> list[Obstacle]:
    repo = Repo.open(root)
    return problems(repo, repo.head_commit(), "main", ship)


def use_lfs(box: Sandbox, at: Path | None = None) -> None:
    for name, value in LFS.items():
        box.git("config", f"filter.lfs.{name}", value, cwd=at)


def test_a_plain_repository_has_none(box: Sandbox) -> None:
    assert found(box.root) == []


def test_a_filter_that_works_is_no_problem(box: Sandbox) -> None:
    box.git("config", "filter.up.clean", "tr a-z A-Z")
    box.git("config", "filter.up.smudge", "tr A-Z a-z")
    box.commit({".gitattributes": "*.txt filter=up\n"})
    assert found(box.root) == []


@pytest.mark.parametrize("key", ["clean", "smudge", "process"])
@pytest.mark.parametrize("required", ["true", "false"])
@pytest.mark.parametrize("ship", ["merge", "branch", "none"])
def test_a_filter_that_does_not_run_is_refused_in_every_mode(box: Sandbox, key: str, required: str, ship: str) -> None:
    box.commit({".gitattributes": "*.txt filter=gone\n"})
    box.git("config", f"filter.gone.{key}", "no-such-program %f")
    box.git("config", "filter.gone.required", required)
    (problem,) = found(box.root, ship)
    assert problem.fatal
    assert "the filter gone, through which a.txt is stored, fails" in problem.text
    assert "no-such-program" in problem.text
    assert problem.command == f"git -C {box.root} cat-file --filters HEAD:a.txt"


def test_a_filter_that_nothing_goes_through_is_not_tried(box: Sandbox) -> None:
    box.git("config", "filter.gone.clean", "no-such-program")
    box.commit({".gitattributes": "*.none filter=gone\n"})
    assert found(box.root) == []


def test_a_filter_that_the_users_git_does_not_have_is_said(box: Sandbox) -> None:
    box.commit({".gitattributes": "*.txt filter=strange\n"})
    (problem,) = found(box.root)
    assert (problem.fatal, "which your git does not have" in problem.text) == (False, True)


def test_attributes_of_the_user_count(box: Sandbox) -> None:
    (box.root / ".git" / "info" / "attributes").write_text("a.txt filter=gone\n")
    box.git("config", "filter.gone.clean", "no-such-program")
    assert [one.fatal for one in found(box.root)] == [True]


@needs_lfs
def test_pointers_without_git_lfs_are_refused(box: Sandbox, home: Path) -> None:
    use_lfs(box)
    box.commit({".gitattributes": "*.bin filter=lfs\n", "a.bin": "content\n"})
    for name in LFS:
        box.git("config", "--unset", f"filter.lfs.{name}")
    (problem,) = found(box.root)
    assert (problem.fatal, problem.command) == (True, f"git -C {box.root} lfs install && git -C {box.root} lfs pull")
    assert home.is_dir()


@pytest.fixture
def clone(box: Sandbox, home: Path) -> Path:
    """A clone with Git LFS whose content is not here."""
    use_lfs(box)
    box.commit({".gitattributes": "*.bin filter=lfs\n", "a.bin": "content\n", "b.bin": "more\n"})
    clone = home / "clone"
    box.git("clone", "-q", "--no-checkout", f"file://{box.root}", str(clone))
    use_lfs(box, clone)
    return clone


@needs_lfs
def test_content_of_git_lfs_is_fetched_before_a_run(box: Sandbox, clone: Path) -> None:
    repo = Repo.open(clone)
    (problem,) = found(clone)
    assert "the content of a.bin, b.bin is not in the store of Git LFS" in problem.text
    assert problem.command == f"git -C {clone} lfs fetch origin {repo.head_commit()[:12]}"
    fetch(repo, [repo.head_commit()])
    assert found(clone) == []
    check_out(repo, box.scratch / "w")
    assert (box.scratch / "w" / "a.bin").read_text() == "content\n"


@needs_lfs
def test_content_of_git_lfs_that_cannot_be_had_is_refused(box: Sandbox, clone: Path) -> None:
    shutil.rmtree(box.root / ".git" / "lfs")
    repo = Repo.open(clone)
    fetch(repo, [repo.head_commit()])
    assert [one.fatal for one in found(clone)] == [True]


@needs_lfs
@pytest.mark.parametrize("where", ["config", ".lfsconfig"])
def test_content_that_the_user_leaves_out_is_said(box: Sandbox, clone: Path, where: str) -> None:
    if where == "config":
        box.git("config", "lfs.fetchexclude", "*.bin", cwd=clone)
    else:
        box.commit({".lfsconfig": "[lfs]\n\tfetchexclude = *.bin\n"})
        box.git("fetch", "-q", cwd=clone)
        box.git("update-ref", "HEAD", "origin/main", cwd=clone)
    (problem,) = found(clone)
    assert (problem.fatal, "see pointers of Git LFS in the place of a.bin, b.bin" in problem.text) == (False, True)


@needs_lfs
def test_content_that_is_skipped_is_said(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_LFS_SKIP_SMUDGE", "1")
    (problem,) = found(clone)
    assert (problem.fatal, "set up to skip" in problem.text) == (False, True)


@needs_lfs
def test_content_beside_borrowed_objects_is_found(box: Sandbox, clone: Path) -> None:
    shared = box.scratch / "shared"
    box.git("clone", "-q", "--shared", "--no-checkout", str(box.root), str(shared))
    use_lfs(box, shared)
    assert found(shared) == []
    check_out(Repo.open(shared), box.scratch / "w")
    assert (box.scratch / "w" / "a.bin").read_text() == "content\n"
    assert clone.is_dir()


@needs_crypt
def test_a_locked_repository_is_refused(box: Sandbox) -> None:
    box.git("crypt", "init")
    box.commit({".gitattributes": "*.key filter=git-crypt\n", "a.key": "secret\n"})
    assert found(box.root) == []
    locked = box.scratch / "locked"
    box.git("clone", "-q", str(box.root), str(locked))
    (problem,) = found(locked)
    assert (problem.fatal, problem.command) == (True, f"cd {locked} && git-crypt unlock")


def test_a_partial_clone_is_fetched_or_refused(box: Sandbox) -> None:
    box.git("config", "uploadpack.allowFilter", "true")
    clone = box.scratch / "clone"
    box.git("clone", "-q", "--filter=blob:none", "--no-checkout", f"file://{box.root}", str(clone))
    (problem,) = found(clone)
    assert (problem.fatal, "partial clone" in problem.text) == (True, True)
    repo = Repo.open(clone)
    fetch(repo, [repo.head_commit()])
    assert found(clone) == []


def test_replaced_objects_are_said(box: Sandbox) -> None:
    box.git("replace", box.commit({"a.txt": "new\n"}), "HEAD~1")
    assert [one.fatal for one in found(box.root)] == [False]
