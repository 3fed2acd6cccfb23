"""Workspaces by the thousand, twenty at a time: from threads of one process, and from processes that know nothing of each other.

`python -m storms.workspaces [--count 1000] [--at-once 20]` prints a table; it exits 1 if one failed or is not whole.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces
from support import Project

FILES = 30


@dataclass(frozen=True)
class Storm:
    """How `count` workspaces came out: those that failed with their words, those that are not whole, and the seconds."""

    way: str
    count: int
    failed: tuple[str, ...]
    broken: tuple[str, ...]
    seconds: float


def storm(root: Path, way: str, count: int, at_once: int) -> Storm:
    """Make workspaces of a fresh repository by `threads`, `processes` or plain `git worktree`, and look at each."""
    project = Project.make(root / "p", {f"src/{number}.txt": f"{number}\n" * 20 for number in range(FILES)})
    before = project.git("for-each-ref")
    began = time.monotonic()
    if way == "threads":
        failed = _by_threads(project.root, range(count), at_once)
    elif way == "git":
        failed = _by_git(project, count, at_once)
    else:
        failed = _by_processes(project.root, count, at_once)
    seconds = time.monotonic() - began
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        whole = list(pool.map(lambda number: _whole(place(project.root, number), number), range(count)))
    broken = [str(number) for number in range(count) if not whole[number]]
    if way != "git" and project.git("for-each-ref") != before:
        broken.append("the user's refs are others")
    return Storm(way, count, tuple(failed), tuple(broken), seconds)


def place(root: Path, number: int) -> Path:
    """As of a run of its own."""
    return root.with_name("state") / f"R{number % 20}" / f"w{number}"


def _whole(path: Path, number: int) -> bool:
    """Whether plain git finds its branch, and nothing changed."""
    argv = ["git", "-C", str(path), "status", "--porcelain", "--branch"]
    done = subprocess.run(argv, capture_output=True, check=False)
    return done.stdout == f"## feature/w{number}\n".encode()


def _by_threads(root: Path, numbers: range, at_once: int) -> list[str]:
    repo = Repo.open(root)
    head = repo.head_commit()
    workspaces = Workspaces(repo, root.with_name("state"), base=head, target="main")

    def add(number: int) -> str:
        try:
            workspaces.add(place(root, number), head, f"feature/w{number}")
        except Exception as error:  # noqa: BLE001 - any error is a failure to count
            return f"{number}: {error}"
        return ""

    with ThreadPoolExecutor(at_once) as pool:
        return [failure for failure in pool.map(add, numbers) if failure]


def _by_processes(root: Path, count: int, at_once: int) -> list[str]:
    argv = [sys.executable, "-m", "storms.workspaces", "--in", str(root)]
    shares = [f"{first}:{count}:{at_once}" for first in range(at_once)]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    pipe = subprocess.PIPE
    running = [subprocess.Popen([*argv, share], stdin=pipe, stdout=pipe, text=True, env=environ) for share in shares]
    for process in running:  # all at the same moment, or the slowest start would keep them apart
        assert process.stdout is not None
        process.stdout.readline()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0] for process in running]
    died = [f"process {p.pid} ended with {p.returncode}" for p in running if p.returncode != 0]
    return [line for text in said for line in text.splitlines()] + died


def _by_git(project: Project, count: int, at_once: int) -> list[str]:
    """What `git worktree add` makes of it: for comparison."""

    def add(number: int) -> str:
        argv = ["git", "worktree", "add", "-q", "-b", f"feature/w{number}", str(place(project.root, number))]
        done = subprocess.run(argv, cwd=project.root, capture_output=True, text=True, check=False)
        return f"{number}: {done.stderr.strip()}" if done.returncode else ""

    with ThreadPoolExecutor(at_once) as pool:
        return [failure for failure in pool.map(add, range(count)) if failure]


def main() -> None:
    """All ways, one after the other; as a child (`--in ROOT SHARE`) one share of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--in", dest="root", type=Path)
    parser.add_argument("share", nargs="?", default="")
    given = parser.parse_args()
    if given.root is not None:
        first, count, step = map(int, given.share.split(":"))
        print("ready", flush=True)
        sys.stdin.readline()
        print("\n".join(_by_threads(given.root, range(first, count, step), 1)), end="")
        return
    bad = 0
    print(f"{'made by':<12}{'workspaces':>11}{'at once':>9}{'failed':>8}{'not whole':>11}{'seconds':>9}")
    for way in ("threads", "processes", "git"):
        with tempfile.TemporaryDirectory() as folder:
            made = storm(Path(folder), way, given.count, given.at_once)
        row = f"{way:<12}{made.count:>11}{given.at_once:>9}{len(made.failed):>8}{len(made.broken):>11}{made.seconds:>9.1f}"
        print(row, *made.failed[:3] if way != "git" else (), sep="\n  ", flush=True)
        bad += len(made.failed) + len(made.broken) if way != "git" else 0
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
