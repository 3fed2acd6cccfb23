import os
import subprocess
from pathlib import Path

import pytest

from branchline.errors import InvalidInput
from branchline.ledger.paths import RunPaths, common_dir
from branchline.ledger.runs import find_run, run_ids
from strategies import begun


@pytest.mark.parametrize("run_id", ["", "..", ".hidden", "a/b", "a b", "-x", "a\n", "x" * 65])
def test_what_is_not_a_run_id(run_id: str) -> None:
    with pytest.raises(InvalidInput, match="is not a run id"):
        RunPaths(Path(), run_id)


def test_everything_of_a_run_is_below_its_folder(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path, "R")
    assert paths.run_dir == tmp_path / ".runs" / "R"
    assert paths.ledger == paths.run_dir / "logs" / "run.jsonl"
    files = (paths.ledger, paths.head, paths.lock, paths.owner, paths.checkpoints, paths.checkpoint, paths.artifacts)
    rest = (paths.inbox, paths.scratch, paths.kept, paths.prompt, paths.attempt("t", 2))
    assert all(path.is_relative_to(paths.run_dir) for path in (*files, *rest))
    assert len({*files, *rest}) == len(files) + len(rest)


def test_runs_stay_out_of_git_status(tmp_path: Path) -> None:
    RunPaths(tmp_path, "R").make()
    ignore = tmp_path / ".runs" / ".gitignore"
    assert ignore.read_text() == "*\n"
    ignore.write_text("mine\n")
    RunPaths(tmp_path, "S").make()
    assert ignore.read_text() == "mine\n"


def git(root: Path, *args: str) -> str:
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = [word for key in ("user.name", "user.email") for word in ("-c", f"{key}=u")]
    allow = ("-c", "protocol.file.allow=always")
    done = subprocess.run(["git", *who, *allow, *args], cwd=root, env=env, capture_output=True, check=True)
    return done.stdout.decode()


def checkout(root: Path, *more: str) -> Path:
    root.mkdir()
    git(root, "init", "-q", *more)
    git(root, "commit", "-q", "--allow-empty", "-m", "first")
    return root


@pytest.fixture(params=["main", "linked", "separate", "submodule", "bare"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """Every kind of checkout, and the git common directory that it has."""
    main = tmp_path / "main"
    if request.param == "separate":
        return checkout(main, f"--separate-git-dir={tmp_path / 'elsewhere'}"), tmp_path / "elsewhere"
    checkout(main)
    if request.param == "linked":
        git(main, "worktree", "add", "-q", "--detach", "../linked")
        return tmp_path / "linked", main / ".git"
    if request.param == "submodule":
        checkout(tmp_path / "above")
        git(tmp_path / "above", "submodule", "add", "-q", str(main), "sub")
        return tmp_path / "above/sub", tmp_path / "above/.git/modules/sub"
    if request.param == "bare":
        git(tmp_path, "clone", "-q", "--bare", "main", "bare.git")
        git(tmp_path / "bare.git", "worktree", "add", "-q", "--detach", "../tree")
        return tmp_path / "tree", tmp_path / "bare.git"
    return main, main / ".git"


def test_the_record_of_a_checkout_is_below_its_git_common_directory(place: tuple[Path, Path]) -> None:
    root, common = place
    assert common_dir(root) == common
    begun(root, "R", 1)
    assert RunPaths(root, "R").run_dir == common / "branchline/runs/R"
    assert (root / ".runs/R/logs/run.jsonl").exists()
    assert run_ids(root) == ["R"]
    assert git(root, "status", "--porcelain") == ""
    for cleaning in (("stash", "-aq"), ("clean", "-ffdxq")):
        git(root, *cleaning)
        assert run_ids(root) == ["R"]
    begun(root, "S", 2)
    assert sorted(path.name for path in (root / ".runs").iterdir()) == [".gitignore", "R", "S"]
    assert (common / "info/exclude").read_text().count("/.runs\n") == 1


def test_all_checkouts_of_a_repository_see_one_list_of_runs(tmp_path: Path) -> None:
    main = checkout(tmp_path / "main")
    git(main, "worktree", "add", "-q", "--detach", "../linked")
    begun(tmp_path / "linked", "R", 1)
    assert run_ids(main) == ["R"]
    git(main, "worktree", "remove", "--force", "../linked")
    assert find_run(main, "R").ledger.exists()


def test_old_runs_stay_where_they_are_and_new_ones_are_shown_beside_them(tmp_path: Path) -> None:
    root = checkout(tmp_path / "main")
    begun(root, "OLD", 1)
    (root / ".runs").unlink()
    (root / ".git/branchline/runs").rename(root / ".runs")
    assert run_ids(root) == ["OLD"]
    assert find_run(root, None).run_dir == root / ".runs/OLD"
    begun(root, "NEW", 2)
    assert run_ids(root) == ["OLD", "NEW"]
    assert find_run(root, "OLD").run_dir == root / ".runs/OLD"
    assert find_run(root, "NEW").run_dir == root / ".git/branchline/runs/NEW"
    assert (root / ".runs/NEW").resolve() == find_run(root, "NEW").run_dir
    RunPaths(root, "OLD").make()
    assert not (root / ".runs/OLD").is_symlink()


def test_a_repository_that_was_moved_shows_its_record(tmp_path: Path) -> None:
    root = checkout(tmp_path / "main", f"--separate-git-dir={tmp_path / 'git'}")
    begun(root, "R", 1)
    (tmp_path / "git").rename(tmp_path / "moved")
    (root / ".git").write_text("gitdir: ../moved\n")
    assert run_ids(root) == ["R"]
    begun(root, "S", 2)
    assert (root / ".runs").resolve() == tmp_path / "moved/branchline/runs"


@pytest.mark.parametrize("kind", ["a file", "an empty folder", "no such git directory", "a loop"])
def test_what_only_looks_like_a_repository_keeps_its_runs_itself(tmp_path: Path, kind: str) -> None:
    if kind == "an empty folder":
        (tmp_path / ".git").mkdir()
    elif kind == "a loop":
        (tmp_path / ".git").symlink_to(".git")
    else:
        (tmp_path / ".git").write_text("gitdir: nowhere\n" if kind.startswith("no") else "\0")
    begun(tmp_path, "R", 1)
    assert RunPaths(tmp_path, "R").run_dir == tmp_path / ".runs/R"


def test_a_file_of_the_users_stays_and_is_not_hidden(tmp_path: Path) -> None:
    root = checkout(tmp_path / "main")
    (root / ".runs").write_text("mine")
    begun(root, "R", 1)
    assert run_ids(root) == ["R"]
    assert git(root, "status", "--porcelain") == "?? .runs\n"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / ".runs").write_text("in the way")
    with pytest.raises(InvalidInput, match=r"cannot write .*\.runs") as caught:
        RunPaths(tmp_path, "R").make()
    assert "make" in caught.value.hint


def test_the_same_run_id_elsewhere_has_another_marker(tmp_path: Path) -> None:
    here, there = RunPaths(tmp_path / "a", "R"), RunPaths(tmp_path / "b", "R")
    assert here.marker.startswith("R@")
    assert here.marker == RunPaths(tmp_path / "a", "R").marker != there.marker


def test_what_a_lost_go_at_an_attempt_left_is_kept_beside_the_next(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path, "R")
    paths.set_aside("t", 1)
    assert not paths.attempts.exists()
    for number in (1, 2):
        paths.attempt("t", 1).mkdir(parents=True)
        (paths.attempt("t", 1) / "stdout.log").write_text(f"{number}")
        paths.set_aside("t", 1)
    kept = {folder.name: (folder / "stdout.log").read_text() for folder in paths.attempts.iterdir()}
    assert kept == {"t.1.lost-1": "1", "t.1.lost-2": "2"}


def test_what_is_kept_is_for_its_owner(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path, "R1")
    assert paths.keep() == paths.keep() == paths.kept
    assert paths.kept.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_runs_can_be_named(tmp_path: Path) -> None:
    assert RunPaths(tmp_path, "R", tmp_path / "elsewhere").run_dir == tmp_path / "elsewhere" / "R"


def test_a_git_file_that_leads_nowhere_is_no_checkout(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: " + "x" * 5000)
    assert common_dir(tmp_path) is None


def test_a_folder_of_runs_in_the_place_of_the_link_gets_a_link_to_the_run(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".runs").mkdir()
    begun(tmp_path, "R", 1)
    begun(tmp_path, "R2", 2)
    assert (tmp_path / ".runs/R").samefile(tmp_path / ".git/branchline/runs/R")
    (tmp_path / ".runs/R").unlink()
    (tmp_path / ".runs/R2").unlink()
    (tmp_path / ".runs").rmdir()
    begun(tmp_path, "R3", 3)
    begun(tmp_path, "R4", 4)
    assert run_ids(tmp_path) == ["R", "R2", "R3", "R4"]
    assert (tmp_path / ".runs").is_symlink()
