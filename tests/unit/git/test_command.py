"""What may never run: hooks and drivers that the user has configured, and everything that an agent has."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from branchline.errors import InvalidInput
from branchline.git.command import find_git, version
from branchline.git.commit import save, snapshot
from branchline.git.landing.checkout import fast_forward, is_dirty
from branchline.git.landing.merge import merge_trees
from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces
from unit.git.sandbox import Sandbox

HOOKS = (
    "pre-commit post-commit post-checkout post-index-change reference-transaction post-merge pre-merge-commit"
    " prepare-commit-msg commit-msg update post-rewrite pre-auto-gc fsmonitor-watchman"
)


def booby_trap(box: Sandbox, at: Path, *, filters: bool) -> Path:
    """Configure a program for everything that can have one; return the file that appears if any of them runs.

    `filters`: those too. The user's own may run.
    """
    canary, trap = box.scratch / "canary", box.scratch / "trap"
    trap.write_text(f"#!/bin/sh\necho $0 $@ >> {canary}\ncat\n")
    trap.chmod(stat.S_IRWXU)
    hooks = at / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in HOOKS.split():
        (hooks / hook).unlink(missing_ok=True)
        (hooks / hook).symlink_to(trap)
    programs = {
        **{f"filter.z.{kind}": str(trap) for kind in ("clean", "smudge", "process")},
        **{f"filter.y.{kind}": str(trap) for kind in ("clean", "smudge")},
        "filter.z.required": "true",
    }
    settings = {
        **(programs if filters else {}),
        **{f"diff.z.{kind}": str(trap) for kind in ("command", "textconv")},
        **dict.fromkeys(("merge.z.driver", "merge.default", "diff.external", "core.fsmonitor"), str(trap)),
        **dict.fromkeys(("core.editor", "core.pager", "core.sshCommand", "gpg.program"), str(trap)),
        **dict.fromkeys(("core.alternateRefsCommand", "uploadpack.packObjectsHook"), str(trap)),
        "commit.gpgSign": "true",
        "core.hooksPath": str(hooks),
    }
    for name, value in settings.items():
        box.git("config", "--file", str(at / "config"), name, value)
    return canary


def test_no_configured_program_ever_runs(box: Sandbox, tmp_path: Path) -> None:
    box.commit({".gitattributes": "*.txt filter=z diff=z merge=z\n*.py filter=y diff=z merge=z\n"})
    ours, theirs = box.branch_with({"a.txt": "x\n"}), box.branch_with({"a.txt": "y\n", "src/b.py": "b = 2\n"})
    base = box.git("rev-parse", "main").strip()
    canary = booby_trap(box, box.root / ".git", filters=False)

    repo = Repo.open(box.root)
    workspaces = Workspaces(repo, tmp_path / "home", base=base, target="main")
    path = workspaces.add(box.scratch / "a-1", base, "feature/a-1")
    (path / "a.txt").write_text("changed\n")
    shutil.rmtree(path / ".git")
    box.git("clone", "-q", "--bare", str(box.root), str(path / ".git"))
    booby_trap(box, path / ".git", filters=True)
    taken = snapshot(workspaces.content(path), path, repo.tree_of(base), scratch=box.scratch)
    assert any(change.path == "a.txt" for change in repo.changes(repo.tree_of(base), taken.tree))
    repo.patch(base, taken.tree)
    repo.diffstat(base, taken.tree)
    merge_trees(repo, ours, theirs, lambda _: "union", declared=base)
    merge_trees(repo, ours, theirs, lambda _: None, declared=base)
    save(repo, path, ref="refs/branchline/r/saved/a", parents=[base], when=1, scratch=box.scratch)
    workspaces.reset(path, base, head=base)
    is_dirty(repo)
    repo.move_ref("refs/heads/x", ours, None)
    workspaces.remove(path)
    landed = repo.commit(repo.edit_tree(base, {"new": ("100644", repo.write_blob(b"n"))}), [base], "m", 1)
    fast_forward(repo, box.root, "main", base, landed)
    assert (box.root / "new").read_bytes() == b"n"
    assert not canary.exists(), canary.read_text()


def test_the_trap_works(box: Sandbox) -> None:
    canary = booby_trap(box, box.root / ".git", filters=True)
    box.git("checkout", "-q", "-b", "other")
    assert canary.exists()


def test_variables_of_the_caller_cannot_redirect_git(box: Sandbox, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    head = repo.head_commit()
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.bare=true'")
    assert Repo.open(box.root).head_commit() == head


def test_replace_refs_do_not_change_history(box: Sandbox, repo: Repo) -> None:
    old = repo.head_commit()
    new = box.commit({"a.txt": "new\n"})
    box.git("replace", new, old)
    assert repo.parents(new) == (old,)


def test_git_is_found_and_new_enough() -> None:
    assert find_git().name == "git"
    assert version() >= (2, 38)


@pytest.mark.parametrize("said", [None, "git version 2.37.9", "not git at all"])
def test_git_missing_or_old_is_refused_with_a_hint(
    said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if said is not None:
        (tmp_path / "git").write_text(f"#!/bin/sh\necho {said}\n")
        (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) + (os.pathsep + "/bin" if said and not Path("/bin/git").exists() else ""))
    find_git.cache_clear()
    version.cache_clear()
    try:
        with pytest.raises(InvalidInput) as caught:
            version()
    finally:
        find_git.cache_clear()
        version.cache_clear()
    assert "install git" in caught.value.hint
    assert caught.value.exit_code == 2
