"""The only change that a user's checkout ever sees."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from branchline.errors import GitError
from branchline.git.landing.checkout import CheckoutDirty, fast_forward
from branchline.git.repo import RefMoved, Repo
from branchline.process.sweep import sweep
from unit.git.sandbox import Sandbox


def picture(box: Sandbox) -> dict[str, object]:
    """Everything in the checkout that a user could notice."""
    found: dict[str, object] = {"status": box.git("status", "--porcelain"), "refs": box.git("show-ref")}
    for path in sorted(box.root.rglob("*")):
        if ".git" not in path.parts:
            found[str(path)] = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


@pytest.fixture
def tips(box: Sandbox) -> tuple[str, str]:
    """The commit of main, and a descendant that changes, adds, deletes, and swaps a file and a folder."""
    old = box.commit({"gone": "g\n", "dir/x": "x\n", "file": "f\n"})
    box.git("checkout", "-q", "--detach")
    (box.root / "file").unlink()
    (box.root / "dir" / "x").unlink()
    (box.root / "dir").rmdir()
    (box.root / "link").unlink()
    (box.root / "link").symlink_to("src")
    files = {"a.txt": "new\n", "added/deep": "new\n", "file/inner": "i\n", "dir": "d\n", "gone": None}
    new = box.commit(files)
    box.git("checkout", "-q", "main")
    return old, new


def test_a_clean_checkout_moves(box: Sandbox, repo: Repo, tips: tuple[str, str]) -> None:
    box.write({"untracked": "mine\n"})
    fast_forward(repo, box.root, "main", *tips)
    assert repo.head_commit() == tips[1]
    assert repo.head_branch() == "main"
    assert box.git("status", "--porcelain") == "?? untracked\n"
    assert (box.root / "a.txt").read_text() == "new\n"
    assert not (box.root / ".git" / "index.lock").exists()
    fast_forward(repo, box.root, "main", *tips)


def test_a_tag_is_made_in_the_same_move_or_nothing_moves(box: Sandbox, repo: Repo, tips: tuple[str, str]) -> None:
    box.git("tag", "v1", tips[0])
    with pytest.raises(RefMoved):
        fast_forward(repo, box.root, "main", *tips, tag="refs/tags/v1")
    assert repo.read_ref("refs/heads/main") == tips[0]
    assert box.git("status", "--porcelain") == ""
    assert not (box.root / ".git" / "index.lock").exists()
    fast_forward(repo, box.root, "main", *tips, tag="refs/tags/v2")
    assert repo.read_ref("refs/tags/v2") == repo.read_ref("refs/heads/main") == tips[1]


def test_a_linked_worktree_moves(box: Sandbox, repo: Repo, tips: tuple[str, str]) -> None:
    box.git("checkout", "-q", "--detach")
    side = box.scratch / "side"
    box.git("worktree", "add", "-q", str(side), "main")
    fast_forward(repo, side, "main", *tips)
    assert box.git("status", "--porcelain", cwd=side) == ""
    assert box.git("status", "--porcelain") == ""
    assert repo.read_ref("refs/heads/main") == tips[1]


def test_edits_of_files_that_do_not_move_are_refused_too(box: Sandbox, repo: Repo, tips: tuple[str, str]) -> None:
    box.write({"src/b.py": "mine\n"})
    before = picture(box)
    with pytest.raises(CheckoutDirty, match=r"src/b\.py is changed") as caught:
        fast_forward(repo, box.root, "main", *tips)
    assert "commit, stash" in caught.value.hint
    assert picture(box) == before


@pytest.mark.parametrize(
    "files",
    [
        {"added": "mine\n"},
        {"added/deep": ""},
        {"dir/mine": "mine\n"},
        {"dir/mine.ignored": "mine\n"},
        {"a.txt": "mine"},
    ],
    ids=["file-for-folder", "empty-file", "in-a-folder-to-go", "ignored", "tracked"],
)
def test_a_file_of_the_user_in_the_way_stops_everything(
    box: Sandbox, repo: Repo, tips: tuple[str, str], files: dict[str, str]
) -> None:
    (box.root / ".git" / "info" / "exclude").write_text("*.ignored\nadded/\n")
    box.write(files)
    before = picture(box)
    with pytest.raises(CheckoutDirty):
        fast_forward(repo, box.root, "main", *tips)
    assert picture(box) == before
    assert not (box.root / ".git" / "index.lock").exists()


@pytest.mark.parametrize(
    "state", ["staged", "assume-unchanged", "skip-worktree", "intent-to-add", "locked", "filtered"]
)
def test_states_that_are_the_users_business(box: Sandbox, repo: Repo, tips: tuple[str, str], state: str) -> None:
    if state == "staged":
        box.write({"a.txt": "staged\n"})
        box.git("add", "a.txt")
        box.write({"a.txt": "one\ntwo\nthree\n"})
    elif state == "intent-to-add":
        box.write({"mine": "m\n"})
        box.git("add", "-N", "mine")
    elif state == "locked":
        (box.root / ".git" / "index.lock").touch()
    elif state == "filtered":
        box.git("config", "filter.broken.smudge", "no-such-program")
        box.git("config", "filter.broken.required", "true")
        old = box.commit({".gitattributes": "new filter=broken\n"})
        repo = Repo.open(box.root)
        tips = old, repo.commit(repo.edit_tree(old, {"new": ("100644", repo.write_blob(b"p"))}), [old], "m", 0)
    else:
        box.write({"a.txt": "hidden\n"})
        box.git("update-index", f"--{state}", "a.txt")
    before = (box.root / "a.txt").read_bytes(), repo.read_ref("refs/heads/main")
    index = (box.root / ".git" / "index").read_bytes()
    with pytest.raises(CheckoutDirty):
        fast_forward(repo, box.root, "main", *tips)
    assert ((box.root / "a.txt").read_bytes(), repo.read_ref("refs/heads/main")) == before
    assert (box.root / ".git" / "index").read_bytes() == index


def test_a_branch_that_is_elsewhere_is_not_moved(box: Sandbox, repo: Repo, tips: tuple[str, str]) -> None:
    elsewhere = box.commit({"z": "z\n"})
    with pytest.raises(RefMoved):
        fast_forward(repo, box.root, "main", *tips)
    assert repo.read_ref("refs/heads/main") == elsewhere
    assert box.git("status", "--porcelain") == ""
    assert not (box.root / ".git" / "index.lock").exists()


def test_what_is_no_fast_forward_is_refused(box: Sandbox, repo: Repo, tips: tuple[str, str]) -> None:
    with pytest.raises(CheckoutDirty, match="does not descend"):
        fast_forward(repo, box.root, "main", box.branch_with({"z": "z"}), tips[1])


def test_a_checkout_that_went_to_another_branch_is_no_place_of_this_one(
    box: Sandbox, repo: Repo, tips: tuple[str, str]
) -> None:
    box.git("branch", "other", tips[0])
    with pytest.raises(RefMoved, match="is not on refs/heads/other any more"):
        fast_forward(repo, box.root, "other", *tips)
    assert repo.read_ref("refs/heads/other") == tips[0]
    assert not [*(box.root / ".git").glob("*.lock")]


def interrupted(box: Sandbox, tips: tuple[str, str]) -> None:
    """Leave what a call that was killed leaves: its claim on the index."""
    (box.root / ".git" / "index.lock").write_text(f"branchline fast-forward {tips[0]} {tips[1]}\n")


def test_half_written_files_are_finished(box: Sandbox, repo: Repo, tips: tuple[str, str]) -> None:
    interrupted(box, tips)
    box.write({"a.txt": "ne", "added/deep": "", "gone": None})
    (box.root / "link").unlink()
    (box.root / "link").symlink_to("src")
    fast_forward(repo, box.root, "main", *tips)
    assert box.git("status", "--porcelain") == ""
    assert repo.head_commit() == tips[1]
    assert not (box.root / ".git" / "index.lock").exists()


@pytest.mark.parametrize("files", [{"a.txt": "mine\n"}, {"src/b.py": "mine\n"}, {"added/deep": "new\nand mine\n"}])
def test_an_edit_made_after_the_kill_survives(
    box: Sandbox, repo: Repo, tips: tuple[str, str], files: dict[str, str]
) -> None:
    interrupted(box, tips)
    box.write(files)
    with pytest.raises(CheckoutDirty):
        fast_forward(repo, box.root, "main", *tips)
    assert {name: (box.root / name).read_text() for name in files} == files


@pytest.mark.parametrize("done", ["files", "index", "ref", "ref-first"])
def test_a_kill_between_the_steps_is_finished(box: Sandbox, repo: Repo, tips: tuple[str, str], done: str) -> None:
    box.git("read-tree", "-m", "-u", *tips)
    if done in ("files", "ref-first"):
        box.git("read-tree", tips[0])
    if done in ("ref", "ref-first"):
        box.git("update-ref", "refs/heads/main", tips[1])
    interrupted(box, tips)
    fast_forward(repo, box.root, "main", *tips)
    assert box.git("status", "--porcelain") == ""
    assert repo.head_commit() == tips[1]
    assert not (box.root / ".git" / "index.lock").exists()
    assert not [*(box.root / ".git").glob("branchline-*")]


def test_another_runs_claim_is_respected(box: Sandbox, repo: Repo, tips: tuple[str, str]) -> None:
    interrupted(box, (tips[0], tips[0]))
    with pytest.raises(CheckoutDirty, match="another git"):
        fast_forward(repo, box.root, "main", *tips)


def test_a_folder_that_is_no_checkout(box: Sandbox, repo: Repo, tips: tuple[str, str]) -> None:
    with pytest.raises(GitError, match="not a checkout"):
        fast_forward(repo, box.scratch, "main", *tips)


MOVER = """
import sys
from pathlib import Path
from branchline.git.landing.checkout import fast_forward
from branchline.git.repo import Repo
repo = Repo.open(Path(sys.argv[1]))
repo.mark("kill-ff")
print("ready", flush=True)
fast_forward(repo, repo.root, "main", *sys.argv[2:])
"""


@pytest.mark.parametrize("delay", [0.004, 0.01, 0.016, 0.022, 0.028, 0.034, 0.04])
def test_killed_at_any_moment_it_is_finished_by_calling_again(box: Sandbox, repo: Repo, delay: float) -> None:
    old = repo.head_commit()
    new = box.branch_with({f"d{number % 9}/f{number}": "x" * 20_000 for number in range(300)})
    argv = [sys.executable, "-c", MOVER, str(box.root), old, new]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as mover:
        assert mover.stdout is not None
        mover.stdout.readline()
        time.sleep(delay)
        os.kill(mover.pid, signal.SIGKILL)
    sweep("kill-ff")
    fast_forward(Repo.open(Path(box.root)), box.root, "main", old, new)
    assert box.git("status", "--porcelain") == ""
    assert repo.head_commit() == new
    assert not (box.root / ".git" / "index.lock").exists()


def test_killed_before_it_had_the_lock_it_leaves_nothing_once_called_again(
    box: Sandbox, repo: Repo, tips: tuple[str, str]
) -> None:
    dies = "import os, sys\nsys.addaudithook(lambda event, _: event == 'os.link' and os.kill(os.getpid(), 9))\n"
    done = subprocess.run([sys.executable, "-c", dies + MOVER, str(box.root), *tips], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    fast_forward(repo, box.root, "main", *tips)
    assert repo.head_commit() == tips[1]
    assert not [*(box.root / ".git").glob("branchline-*")]
