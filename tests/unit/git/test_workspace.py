"""Workspaces: complete or not there, whole for plain git, and new again whatever was made of their `.git`."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from branchline.git.own_commits import head_of
from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces
from branchline.process.sweep import sweep
from unit.git.sandbox import Sandbox

BRANCH = "feature/a-1"


def plain(path: Path, *args: str) -> str:
    """Run git as an agent does, which has no settings and no name of its own."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *args], cwd=path, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return os.fsdecode(done.stdout).strip()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def path(box: Sandbox, repo: Repo, workspaces: Workspaces) -> Path:
    return workspaces.add(box.scratch / "w" / "a", repo.head_commit(), BRANCH)


def test_add_checks_out_a_branch(repo: Repo, path: Path) -> None:
    assert (path / "a.txt").read_text() == "one\ntwo\nthree\n"
    assert (path / "link").readlink() == Path("a.txt")
    assert plain(path, "symbolic-ref", "HEAD") == f"refs/heads/{BRANCH}"
    assert plain(path, "rev-parse", "HEAD") == head_of(path) == repo.head_commit()
    assert plain(path, "status", "--porcelain", "--ignored") == ""
    assert [one.name for one in path.parent.iterdir()] == ["a"]


def test_add_without_a_branch(box: Sandbox, repo: Repo, workspaces: Workspaces) -> None:
    path = workspaces.add(box.scratch / "c", repo.head_commit())
    assert head_of(path) == repo.head_commit()
    assert plain(path, "rev-parse", "--abbrev-ref", "HEAD") == "HEAD"


def test_tools_find_what_they_ask_git_for(box: Sandbox, repo: Repo) -> None:
    box.git("tag", "-a", "-m", "first", "v1.0")
    box.git("branch", "older")
    box.git("branch", "elsewhere", box.branch_with({"x": "x"}))
    box.git("tag", "aside", "elsewhere")
    base = box.commit({"a.txt": "second\n"})
    path = Workspaces(repo, box.scratch / "home", base=base, target="main").add(box.scratch / "a", base, BRANCH)
    (path / "new").write_text("n\n")
    plain(path, "add", "new")
    plain(path, "commit", "-q", "-m", "mine")
    assert plain(path, "describe").startswith("v1.0-2-g")
    assert plain(path, "diff", "--name-only", "origin/main...HEAD") == "new"
    assert plain(path, "diff", "--name-only", "origin/HEAD", "main") == ""
    assert plain(path, "log", "--format=%an <%ae>", "-1") == "Branchline <branchline@localhost>"
    assert plain(path, "for-each-ref", "--format=%(refname:short)", "refs/heads").split() == [BRANCH, "main", "older"]
    assert plain(path, "tag").split() == ["aside", "v1.0"]
    (path / "a.txt").write_text("later\n")
    plain(path, "stash")
    assert (path / "a.txt").read_text() == "second\n"
    plain(path, "stash", "pop")
    assert (path / "a.txt").read_text() == "later\n"
    plain(path, "fsck", "--full", "--strict")
    plain(path, "gc", "-q")
    plain(path, "fsck", "--full", "--strict")


def test_nothing_that_is_done_in_it_reaches_the_users_git(box: Sandbox, repo: Repo, workspaces: Workspaces) -> None:
    head, before = repo.head_commit(), content(repo.common_dir)
    path = workspaces.add(box.scratch / "a", head, BRANCH)
    (path / "a.txt").write_text("agent\n")
    for args in ("commit -qam x", "branch -D main", "tag t", "config core.bare true", "gc -q --prune=now"):
        plain(path, *args.split())
    shutil.rmtree(path / ".git" / "refs")
    workspaces.reset(path, head, head=head, branch=BRANCH)
    workspaces.remove(path)
    assert content(repo.common_dir) == before


ODD = ["a b", 'a"b', "a\nb", "#a", "a\\b", "a\tb", " a ", "a:b", "ä", os.fsdecode(b"a\xff"), '"a"', "a\rb"]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("where", ["home", "repository"])
def test_objects_are_borrowed_from_a_path_with_any_name(tmp_path: Path, name: str, where: str) -> None:
    odd = tmp_path / name
    root, home = (tmp_path / "repo", odd / "home") if where == "home" else (odd, tmp_path / "home")
    root.mkdir()
    box = Sandbox(root, tmp_path)
    box.git("init", "-q", "-b", "main")
    head = box.commit({"a.txt": "a\n"})
    path = Workspaces(Repo.open(root), home, base=head, target="main").add(home / "w" / "a", head, BRANCH)
    assert plain(path, "show", "HEAD:a.txt") == "a"
    assert plain(path, "status", "--porcelain") == ""


def test_objects_that_the_user_borrows_are_borrowed_too(box: Sandbox, tmp_path: Path) -> None:
    odd = tmp_path / 'odd "one\\'
    box.git("clone", "-q", "--shared", str(box.root), str(odd))
    box.git("clone", "-q", "--shared", str(odd), str(tmp_path / "third"))
    renamed = odd.rename(tmp_path / 'odd "o\nä\\')
    quoted = str(renamed).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("ä", "\\303\\244")
    (tmp_path / "third/.git/objects/info/alternates").write_text(f'"{quoted}/.git/objects"\n')
    repo = Repo.open(tmp_path / "third")
    workspaces = Workspaces(repo, tmp_path / "home", base=repo.head_commit(), target="main")
    path = workspaces.add(tmp_path / "w", repo.head_commit(), BRANCH)
    assert [link.name for link in workspaces.borrowed] == ["objects", "objects-1", "objects-2"]
    plain(path, "fsck", "--full", "--strict")


def test_a_relative_alternate_is_followed(box: Sandbox, tmp_path: Path) -> None:
    box.git("clone", "-q", "--shared", str(box.root), str(tmp_path / "other"))
    (tmp_path / "other/.git/objects/info/alternates").write_text("# mine\n\n../../../repo/.git/objects\n")
    repo = Repo.open(tmp_path / "other")
    found = [*Workspaces(repo, tmp_path / "home", base=repo.head_commit(), target="").borrowed.values()]
    assert found == [tmp_path / "other/.git/objects", box.root / ".git/objects"]


def test_a_repository_that_was_moved_is_borrowed_from_again(box: Sandbox, repo: Repo, path: Path) -> None:
    head, moved = repo.head_commit(), box.root.with_name("moved")
    box.root.rename(moved)
    Workspaces(Repo.open(moved), box.scratch / "home", base=head, target="main").add(box.scratch / "b", head)
    assert plain(path, "status", "--porcelain") == ""


def test_history_that_is_cut_off_stays_so(box: Sandbox, tmp_path: Path) -> None:
    box.commit({"a.txt": "second\n"})
    box.git("clone", "-q", "--depth=1", f"file://{box.root}", str(tmp_path / "shallow"))
    repo = Repo.open(tmp_path / "shallow")
    path = Workspaces(repo, tmp_path / "home", base=repo.head_commit(), target="main").add(
        tmp_path / "w", repo.head_commit(), BRANCH
    )
    assert plain(path, "log", "--format=%s") == "change"
    plain(path, "fsck", "--full")


def test_a_repository_of_sha256(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    box = Sandbox(root, tmp_path)
    box.git("init", "-q", "-b", "main", "--object-format=sha256")
    head = box.commit({"a.txt": "a\n"})
    path = Workspaces(Repo.open(root), tmp_path / "home", base=head, target="main").add(tmp_path / "w", head, BRANCH)
    assert len(plain(path, "rev-parse", "HEAD")) == 64
    assert plain(path, "status", "--porcelain") == ""


def test_what_the_user_ignores_by_hand_is_ignored(box: Sandbox, workspaces: Workspaces, repo: Repo) -> None:
    (box.root / ".git/info/exclude").write_text("*.mine\n")
    again = Workspaces(Repo.open(box.root), box.scratch / "home", base=repo.head_commit(), target="main")
    path = again.add(box.scratch / "a", repo.head_commit(), BRANCH)
    (path / "x.mine").touch()
    assert plain(path, "status", "--porcelain") == ""


def test_a_complete_one_is_left_as_it_is(repo: Repo, workspaces: Workspaces, path: Path) -> None:
    (path / "work").write_text("precious")
    shutil.rmtree(path / ".git")
    assert workspaces.add(path, repo.head_commit(), BRANCH) == path
    assert (path / "work").read_text() == "precious"


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "pipe"])
def test_what_is_in_its_place_and_no_folder_goes(box: Sandbox, repo: Repo, workspaces: Workspaces, kind: str) -> None:
    place, outside = box.scratch / "w" / "a", box.scratch / "outside"
    place.parent.mkdir()
    outside.mkdir()
    (outside / "kept").touch()
    if kind == "file":
        place.touch()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(outside if kind == "link" else "nowhere")
    path = workspaces.add(place, repo.head_commit(), BRANCH)
    assert not path.is_symlink()
    assert plain(path, "status", "--porcelain") == ""
    assert [one.name for one in outside.iterdir()] == ["kept"]


def test_many_at_once(box: Sandbox, repo: Repo, workspaces: Workspaces) -> None:
    head, runs = repo.head_commit(), box.scratch / "w"

    def use(number: int) -> str:
        path = workspaces.add(runs / f"{number}", head, f"feature/{number}")
        assert plain(path, "status", "--porcelain") == ""
        text = (path / "a.txt").read_text()
        workspaces.remove(path)
        return text

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(use, range(32))) == {"one\ntwo\nthree\n"}
    assert list(runs.iterdir()) == []


def test_runs_share_the_links_to_the_objects(box: Sandbox, repo: Repo) -> None:
    def borrowed(_number: int) -> list[Path]:
        return [*Workspaces(repo, box.scratch / "home", base=repo.head_commit(), target="").borrowed]

    with ThreadPoolExecutor(8) as pool:
        assert {tuple(found) for found in pool.map(borrowed, range(32))} == {(box.scratch / "home/objects",)}
    assert [one.name for one in (box.scratch / "home").iterdir()] == ["objects"]


def test_remove_is_repeatable_and_follows_no_link(box: Sandbox, workspaces: Workspaces, path: Path) -> None:
    outside = box.scratch / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (path / "out").symlink_to(outside)
    workspaces.remove(path)
    workspaces.remove(path)
    path.symlink_to(outside)
    workspaces.remove(path)
    assert list(path.parent.iterdir()) == []
    assert (outside / "kept").exists()


ADDER = """
import sys
from pathlib import Path
from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces
root, home, runs = map(Path, sys.argv[1:])
repo = Repo.open(root)
repo.mark("kill-test")
head = repo.head_commit()
workspaces = Workspaces(repo, home, base=head, target="main")
print("ready", flush=True)
for number in range(1000):
    path = workspaces.add(runs / f"{number}", head, f"feature/{number}")
    workspaces.reset(path, head, head=head, branch=f"feature/{number}")
    workspaces.remove(path) if number % 2 else None
"""


@pytest.mark.parametrize("delay", [0.003, 0.011, 0.02, 0.033, 0.05, 0.1])
def test_killed_at_any_moment_it_is_complete_or_not_there(
    box: Sandbox, repo: Repo, workspaces: Workspaces, delay: float
) -> None:
    runs, head = box.scratch / "w", repo.head_commit()
    argv = [sys.executable, "-c", ADDER, str(box.root), str(box.scratch / "home"), str(runs)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as adder:
        assert adder.stdout is not None
        adder.stdout.readline()
        time.sleep(delay)
        os.kill(adder.pid, signal.SIGKILL)
    time.sleep(0.05)  # a git that was being started bears its mark by now
    sweep("kill-test")
    made = [one for one in runs.iterdir() if not one.name.startswith(".")] if runs.exists() else []
    for path in made:
        assert (path / "src" / "b.py").read_text() == "b = 1\n"
    newest = max((int(one.name) for one in made), default=0)
    for number in range(newest + 3):  # one that was removed may lie between
        path = workspaces.add(runs / f"{number}", head, f"feature/{number}")
        workspaces.reset(path, head, head=head, branch=f"feature/{number}")
        assert plain(path, "status", "--porcelain") == ""
        workspaces.remove(path)
    assert list(runs.iterdir()) == []


def _trap(git_dir: Path) -> None:
    """Everything in a git directory that names a program, each to leave a canary beside the workspace."""
    trap = git_dir / "trap"
    trap.write_text(f"#!/bin/sh\necho ran >> {git_dir.parents[1]}/canary\ncat\n")
    trap.chmod(0o755)
    for hook in ("post-checkout", "post-index-change", "pre-commit", "reference-transaction"):
        (git_dir / "hooks" / hook).symlink_to(trap)
    other = git_dir / "more"
    other.write_text(f'[filter "z"]\n\tclean = {trap}\n\tsmudge = {trap}\n\tprocess = {trap}\n\trequired = true\n')
    with (git_dir / "config").open("a") as file:
        file.write(f"[core]\n\tfsmonitor = {trap}\n\thooksPath = {git_dir}/hooks\n\tsshCommand = {trap}\n")
        file.write(
            f"\talternateRefsCommand = {trap}\n\tpager = {trap}\n\teditor = {trap}\n[include]\n\tpath = {other}\n"
        )
    (git_dir / "info" / "attributes").write_text("* filter=z diff=z merge=z\n")


def _replaced_by(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def replace(git_dir: Path) -> None:
        git_dir.rename(git_dir.parents[1] / "old-git")
        make(git_dir)

    return replace


def _pipes(git_dir: Path) -> None:
    for name in ("objects/info/alternates", "HEAD", "config", "index"):
        (git_dir / name).unlink()
        os.mkfifo(git_dir / name)


RUINS: dict[str, Callable[[Path], object]] = {
    "deleted": shutil.rmtree,
    "a file": _replaced_by(lambda git_dir: git_dir.write_text("gitdir: /nonexistent\n")),
    "a link to the old one": _replaced_by(lambda git_dir: git_dir.symlink_to("../old-git")),
    "a link to nothing": _replaced_by(lambda git_dir: git_dir.symlink_to("nowhere")),
    "a pipe": _replaced_by(os.mkfifo),
    "an empty folder": _replaced_by(Path.mkdir),
    "traps": _trap,
    "pipes": _pipes,
    "another repository": _replaced_by(lambda git_dir: plain(git_dir.parent, "init", "-q")),
    "borrows from elsewhere": lambda git_dir: (git_dir / "objects/info/alternates").write_text("/etc\n"),
    "a ruined HEAD": lambda git_dir: (git_dir / "HEAD").write_bytes(b"\0"),
    "a lock": lambda git_dir: (git_dir / "index.lock").touch(),
    "no objects": lambda git_dir: shutil.rmtree(git_dir / "objects"),
}


@pytest.mark.parametrize("ruin", RUINS)
def test_reset_makes_git_new_whatever_an_agent_made_of_it(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path, ruin: str
) -> None:
    head, before = repo.head_commit(), content(repo.common_dir)
    (path / "a.txt").write_text("changed\n")
    RUINS[ruin](path / ".git")
    workspaces.reset(path, head, head=head, branch=BRANCH)
    assert sorted(one.name for one in path.iterdir()) == [".git", "a.txt", "link", "src"]
    assert (path / "a.txt").read_text() == "one\ntwo\nthree\n"
    assert plain(path, "status", "--porcelain", "--ignored") == ""
    assert plain(path, "symbolic-ref", "HEAD") == f"refs/heads/{BRANCH}"
    assert plain(path, "config", "--list") == plain(
        workspaces.add(box.scratch / "w" / "new", head, BRANCH), "config", "--list"
    )
    plain(path, "commit", "-q", "--allow-empty", "-m", "x")
    assert not (path.parent / "canary").exists()
    assert content(repo.common_dir) == before


def test_the_traps_work(path: Path) -> None:
    _trap(path / ".git")
    subprocess.run(["git", "status"], cwd=path, capture_output=True, check=False)
    assert (path.parent / "canary").exists()


def test_reset_undoes_what_an_agent_did_to_the_files(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path
) -> None:
    head = repo.head_commit()
    plain(path, "update-index", "--assume-unchanged", "a.txt")
    box.write({"a.txt": "hidden edit", "new/file": "x", 'n\n"ew\udcff': "x", ".gitignore": "*\n"}, at=path)
    (path / "src" / "b.py").unlink()
    (path / "src").rmdir()
    (path / "src").symlink_to(box.scratch)
    plain(path, "init", "-q", "nested")
    plain(path, "commit", "-q", "--allow-empty", "-m", "agent")
    plain(path, "checkout", "-q", "--detach")
    workspaces.reset(path, head, head=head, branch=BRANCH)
    assert sorted(one.name for one in path.iterdir()) == [".git", "a.txt", "link", "src"]
    assert plain(path, "status", "--porcelain", "--ignored") == ""
    assert list(box.scratch.glob("b.py")) == []


def test_reset_keeps_ignored_files_and_those_named(box: Sandbox, workspaces: Workspaces) -> None:
    head = box.commit({".gitignore": "cache/\n"})
    path = workspaces.add(box.scratch / "w" / "a", head, BRANCH)
    odd = "set[up]\\ *.txt "
    box.write({"cache/x": "x", "env/deep/y": "y", odd: "z", "junk": "j", "sub/env/deep/y": "y"}, at=path)
    workspaces.reset(path, head, head=head, branch=BRANCH, keep=["env/deep", odd])
    kept = sorted(name for name in content(path) if not name.startswith(".git/"))
    assert kept == sorted([".gitignore", "a.txt", "cache/x", "env/deep/y", "link", odd, "src/b.py"])


def test_only_the_tree_says_what_is_ignored(box: Sandbox, workspaces: Workspaces) -> None:
    head = box.commit({".gitignore": "cache/\n"})
    path = workspaces.add(box.scratch / "w" / "a", head, BRANCH)
    box.write({"sub/.gitignore": "*\n", "sub/hidden": "x", "cache/.gitignore": "*\n", "cache/x": "x"}, at=path)
    workspaces.reset(path, head, head=head, branch=BRANCH)
    kept = sorted(name for name in content(path) if not name.startswith(".git/"))
    assert kept == [".gitignore", "a.txt", "cache/.gitignore", "cache/x", "link", "src/b.py"]


def test_reset_to_a_tree_shows_it_as_a_change_of_head(repo: Repo, workspaces: Workspaces, path: Path) -> None:
    head = repo.head_commit()
    tree = repo.edit_tree(head, {"a.txt": None, "z": ("100644", repo.write_blob(b"z"))})
    workspaces.reset(path, tree, head=head, branch=BRANCH)
    assert head_of(path) == head
    assert plain(path, "status", "--porcelain").split("\n") == ["D  a.txt", "A  z"]


def test_reset_does_not_rewrite_files_that_are_right(repo: Repo, workspaces: Workspaces, path: Path) -> None:
    os.utime(path / "a.txt", (1_000_000, 1_000_000))
    workspaces.reset(path, repo.head_commit(), head=repo.head_commit(), branch=BRANCH)
    assert (path / "a.txt").stat().st_mtime == 1_000_000


def test_reset_makes_what_is_gone(repo: Repo, workspaces: Workspaces, path: Path) -> None:
    shutil.rmtree(path)
    workspaces.reset(path, repo.head_commit(), head=repo.head_commit(), branch=BRANCH)
    assert plain(path, "status", "--porcelain") == ""


def test_what_lies_in_the_place_of_a_submodule_goes(box: Sandbox, repo: Repo, workspaces: Workspaces) -> None:
    tree = repo.edit_tree(repo.head_commit(), {"sub": ("160000", repo.head_commit())})
    head = repo.commit(tree, [repo.head_commit()], "sub", 0)
    path = workspaces.add(box.scratch / "w" / "s", head, BRANCH)
    box.write({"sub/x": "x", "sub/.git/HEAD": "x"}, at=path)
    workspaces.reset(path, head, head=head, branch=BRANCH)
    assert list((path / "sub").iterdir()) == []
