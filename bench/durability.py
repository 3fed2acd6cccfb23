"""What durability costs per attempt, piece by piece, against a bare spawn of the agent that it keeps the work of.

The agent is the scripted one, which writes one file: started with `subprocess`, output to a file, waited for. It is the
quickest that there is; a real one takes minutes. The pieces, in the order of an attempt: a workspace is made; the
ledger's two appends of an attempt (it starts; its facts and its end), each synced; the files of the workspace become a
tree, a commit and a ref; a checkpoint file; the workspace is saved as a commit with all that is in it, and removed. All
of them in turns, in one process; milliseconds, medians. `no sync`: the same two appends without a sync. Workspaces are
removed in the end: ext4 creates files slowly (ten times) in the minute after many were deleted.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from _measuring import interleaved, options, show
from workspaces import generate

from branchline.agents.scripted import RUNNER
from branchline.core.events import RunPolicy, RunStarted, Transition
from branchline.core.facts import ExecuteWsComplete
from branchline.core.graph import Task
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.git.commit import save, snapshot
from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces
from branchline.ledger.checkpoint import Scribe
from branchline.ledger.log import Disk, Ledger
from branchline.ledger.paths import RunPaths

SIZES, ROUNDS = (300, 5_100), 9
BARE, LEDGER, UNSYNCED = "bare spawn of the agent", "ledger, two appends", "the same, no sync"


def main() -> None:
    """Small and large repositories."""
    given = options(__doc__)
    for files in SIZES[:1] if given.quick else SIZES:
        with tempfile.TemporaryDirectory() as folder:
            generate(Path(folder) / "p", files)
            work = Attempts(Path(folder) / "p")
            rounds = 1 if given.quick else ROUNDS
            median = interleaved(rounds, {"attempt": work.one}) | interleaved(rounds, {"removal": work.remove})
            work.close()
        bare = median[BARE]
        total = sum(value for name, value in median.items() if name not in {BARE, UNSYNCED})
        rows = [
            {"what": name, "ms": value, "ratio to bare": value / bare}
            for name, value in {**median, "all of it": total}.items()
        ]
        show(f"Durability of an attempt, {files} files: milliseconds, medians", rows, as_json=given.json)


class Unsynced(Disk):
    """A ledger's files that are never synced."""

    def sync(self) -> None:
        """Leave it to the system."""


class Attempts:
    """Attempts in one repository, one after the other; each in a workspace of its own."""

    def __init__(self, root: Path) -> None:
        self.repo = Repo.open(root)
        self.head, self.numbers = self.repo.head_commit(), count()
        self.synced, self.unsynced = RunPaths(root, "SYNCED"), RunPaths(root, "UNSYNCED")
        for paths in (self.synced, self.unsynced):
            paths.make(paths.scratch)
        self.folder = root.parent / "work"
        self.workspaces = Workspaces(self.repo, root.parent / "home", base=self.head, target="main")
        self.ledgers = {
            LEDGER: Ledger(self.synced, epoch=1, clock=lambda: 1),
            UNSYNCED: Ledger(self.unsynced, epoch=1, clock=lambda: 1, disk=Unsynced(self.unsynced)),
        }
        self.scribe, self.standing = Scribe(self.synced), list[Path]()
        self.script = root.parent / "script.json"
        self.script.write_text(json.dumps([{"write": {"path": "a.txt", "content": "x\n"}}]))

    def close(self) -> None:
        """Close the files."""
        self.scribe.close()
        for ledger in self.ledgers.values():
            ledger.close()

    def one(self) -> dict[str, float]:
        """One attempt; milliseconds by piece."""
        return {name: seconds * 1000 for name, seconds in self.pieces(f"w{next(self.numbers)}")}

    def pieces(self, name: str) -> Iterator[tuple[str, float]]:
        """Every piece with its seconds."""
        path, began = self.folder / name, time.perf_counter()
        self.workspaces.add(path, self.head, f"feature/{name}")
        yield "workspace made", time.perf_counter() - began
        began = time.perf_counter()
        with (self.script.parent / "out").open("wb") as out:
            argv = [sys.executable, "-I", "-S", RUNNER, str(self.script)]
            subprocess.run(argv, cwd=path, stdout=out, stderr=out, check=True)
        yield BARE, time.perf_counter() - began
        if not (path / "a.txt").exists():
            raise RuntimeError("the agent did nothing")
        began = time.perf_counter()
        tree = snapshot(self.workspaces.content(path), path, self.repo.tree_of(self.head), scratch=self.synced.scratch)
        commit = self.repo.commit(tree.tree, [self.head], f"attempt {name} 1\n", 1)
        self.repo.put_ref(f"refs/branchline/SYNCED/attempts/{name}/1", commit)
        yield "tree, commit and ref of what it left", time.perf_counter() - began
        for ledger, used in self.ledgers.items():
            began = time.perf_counter()
            append(used, name, tree.tree)
            yield ledger, time.perf_counter() - began
        began = time.perf_counter()
        self.scribe.note(state(name), name, 1)
        yield "checkpoint file, handed to its thread", time.perf_counter() - began
        began = time.perf_counter()
        ref = f"refs/branchline/SYNCED/saved/{name}"
        save(self.repo, path, ref=ref, parents=[self.head], when=1, scratch=self.synced.scratch)
        yield "workspace saved", time.perf_counter() - began
        self.standing.append(path)

    def remove(self) -> dict[str, float]:
        """Remove the workspace of one attempt."""
        path, began = self.standing.pop(), time.perf_counter()
        self.workspaces.remove(path)
        return {"workspace removed": (time.perf_counter() - began) * 1000}


def append(ledger: Ledger, name: str, tree: str) -> None:
    """What an attempt writes."""
    ledger.append([Transition(task_id=name, old_state=State.PENDING, new_state=State.RUNNING, attempt=1)])
    fact = ExecuteWsComplete(task_id=name, workstream=name, agent="scripted", status="ok", tree=tree, files=("a.txt",))
    done = Transition(task_id=name, old_state=State.RUNNING, new_state=State.COMPLETED, attempt=1)
    ledger.append([fact, done])


def state(name: str) -> RunState:
    """A run with that one task."""
    made = RunState()
    made.apply(RunStarted(kind="graph", started_at=1, tasks=(Task(id=name),), policy=RunPolicy()))
    return made


if __name__ == "__main__":
    main()
