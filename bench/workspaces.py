"""Workspaces of a repository of 5,100 files, one and eight from eight threads, against sequential `git worktree add`.

Nothing is removed before the end: ext4 creates files slowly (ten times) in the minute after many were deleted.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from _measuring import interleaved, options, show, verdict

from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces

FILES, FOLDERS, COUNT, GOAL = 5_100, 120, 8, 0.6


def main() -> None:
    """Both ways, in turns."""
    given = options(__doc__)
    files = 300 if given.quick else FILES
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "repo"
        generate(root, files)
        contest = Contest(root, files)
        ways = {"eight": contest.ours, "one": contest.alone, "git": contest.sequential}
        median = interleaved(1 if given.quick else 3, ways)
    rows: list[dict[str, str | float]] = []
    for name, many, floor in (("one", 1, median["git"] / COUNT), ("eight", COUNT, median["git"])):
        ratio = median[name] / floor
        rows.append(
            {
                "files": files,
                "workspaces": many,
                "git worktree add, s": floor,
                "branchline, s": median[name],
                "ratio": ratio,
                "goal": f"{GOAL:g} {verdict(ratio, GOAL)}",
            }
        )
    show(f"Workspaces on {os.cpu_count()} cores: seconds, medians", rows, as_json=given.json)


def generate(root: Path, files: int) -> None:
    """A repository of source-like files of 0.5 to 8 KB."""
    for number in range(files):
        path = root / f"pkg{number % FOLDERS:03d}" / f"module_{number:05d}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        functions = [f"def function_{number}_{one}(x):\n    return x + {one}\n" for one in range(8 + number % 120)]
        path.write_text("\n\n".join(functions))
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "-q", "-m", "files")


def git(root: Path, *args: str) -> None:
    """Run git as a person would, without their configuration."""
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "-C", str(root), *args], check=True, env=environ, stdout=subprocess.DEVNULL)


class Contest:
    """Both ways to make working trees; each makes them in new places."""

    def __init__(self, root: Path, files: int) -> None:
        self.root, self.files, self.number = root, files, 0
        self.repo = Repo.open(root)
        self.commit = self.repo.head_commit()
        self.workspaces = Workspaces(self.repo, root.parent / "home", base=self.commit, target="main")

    def places(self) -> list[Path]:
        """Folders that no round had before."""
        self.number += 1
        return [self.root.parent / f"{self.number}" / f"w{self.number}-{one}" for one in range(COUNT)]

    def ours(self) -> dict[str, float]:
        """Eight threads."""
        places = self.places()

        def add(path: Path) -> None:
            self.workspaces.add(path, self.commit, f"feature/{path.name}")

        def all_at_once() -> None:
            with ThreadPoolExecutor(COUNT) as threads:
                list(threads.map(add, places))

        return {"eight": self.timed(all_at_once, places)}

    def alone(self) -> dict[str, float]:
        """One workspace."""
        place = self.places()[0]
        return {"one": self.timed(lambda: self.workspaces.add(place, self.commit, f"feature/{place.name}"), [place])}

    def sequential(self) -> dict[str, float]:
        """One after the other."""
        places = self.places()

        def one_by_one() -> None:
            for path in places:
                git(self.root, "worktree", "add", "-q", "-b", f"feature/{path.name}", str(path), self.commit)

        return {"git": self.timed(one_by_one, places)}

    def timed(self, work: Callable[[], object], places: list[Path]) -> float:
        """Seconds of the work. Raises RuntimeError if a worktree lacks a file."""
        places[0].parent.mkdir()
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        if any(len(list(path.rglob("*.py"))) != self.files for path in places):
            raise RuntimeError("a working tree is not complete")
        return seconds


if __name__ == "__main__":
    main()
