"""What a run that was killed and taken up must have in common with one that nobody disturbed."""

import json
import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crash.stage import RUN_ID, Stage, answer
from support import IDENTITY

OWN = f"refs/branchline/{RUN_ID}/"
UNSTEADY = (
    "head",
    "saved/",
    "attempts/",
)  # what a lost attempt made is kept too, and the ledger's mark is of the ledger
SHOWN = "%(refname) %(objectname) %(tree) %(parent) %(contents:subject)"
ONCE = ("run_start", "plan_complete", "integration_complete", "ship_complete", "run_end", "rolled_back")
LEFT = (".git/**/*.lock", ".git/worktrees/*", ".git/branchline-*", ".runs/*/scratch/*", ".runs/*/inbox/*")
WORK_LEFT = ("*/*/c/*", "*/*/a/*", "*/*/w/.*")

CACHES = ".git/branchline/"  # their locks are held by flock and stay


@dataclass(frozen=True, slots=True)
class Result:
    """How a story ended: its refs, its tasks' states and outputs that tell no times, the events that come once."""

    refs: dict[str, str]
    tasks: dict[str, str]
    once: dict[str, int]


def result(stage: Stage) -> Result:
    """Read it from git and the ledger."""
    records = [json.loads(line) for line in stage.ledger.splitlines()]
    refs: dict[str, str] = {}
    if (stage.project / ".git").is_dir():
        listed = git(stage, "for-each-ref", f"--format={SHOWN}").stdout
        refs = {ref: _timeless(*rest) for ref, *rest in (line.split(" ", 4) for line in listed.splitlines())}
    tasks = {r["task_id"]: r["new_state"] for r in records if r["event"] == "state_transition"}
    counted = Counter(r["event"] for r in records)
    return Result(refs, tasks, {name: counted[name] for name in ONCE})


def _timeless(oid: str, tree: str, parent: str, subject: str) -> str:
    """What a ref points at; of a commit made for a person, later than the run, all but its time."""
    return f"{subject} of {parent} to {tree}" if subject.startswith("Roll back") else oid


def git(stage: Stage, *args: str) -> "subprocess.CompletedProcess[str]":
    """Run the user's git in the project."""
    env = {**os.environ, **IDENTITY}
    return subprocess.run(["git", *args], cwd=stage.project, env=env, capture_output=True, text=True, check=False)


def lost(before: bytes, after: bytes, synced: int) -> list[str]:
    """What is wrong with a ledger after a command: every whole record stays, and of what was synced every byte."""
    if len(after) < synced:
        return [f"the ledger holds {len(after)} bytes, but {synced} had been synced"]
    whole = before[: before.rfind(b"\n") + 1]
    return [] if after.startswith(whole) else ["records that had been written are not in the ledger any more"]


def faults(stage: Stage, wanted: Result, kills: int) -> list[str]:
    """What is not as it should be at the end; nothing, when all is well."""
    found = result(stage)
    return [
        *_refs(wanted.refs, found.refs),
        *_differing("task", wanted.tasks, found.tasks),
        *_counts(wanted.once, found.once, kills),
        *_left_over(stage),
        *_git_says(stage),
        *_verdict(stage),
        *_checkpoints(stage, found.tasks),
    ]


def _refs(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    steady = {ref: oid for ref, oid in wanted.items() if not ref.startswith(tuple(OWN + part for part in UNSTEADY))}
    own = {ref: oid for ref, oid in found.items() if ref in steady or not ref.startswith(OWN)}
    # An attempt that is taken up again may succeed where it would have failed; what was saved must be there.
    saved = {ref for ref in wanted if ref.startswith(f"{OWN}saved/")}
    gone = [f"{ref} is gone" for ref in sorted(saved - found.keys())]
    return _differing("ref", steady, own) + gone


def _differing(what: str, wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    names = sorted(wanted.keys() | found.keys())
    return [
        f"{what} {name} is {found.get(name)}, undisturbed it is {wanted.get(name)}"
        for name in names
        if wanted.get(name) != found.get(name)
    ]


def _counts(wanted: dict[str, int], found: dict[str, int], kills: int) -> list[str]:
    """A fact whose attempt was killed before it had ended may be told again, once a kill; the run's two ends may not."""
    wrong = []
    for name, number in wanted.items():
        most = number if name in {"run_start", "run_end", "rolled_back"} or not number else number + kills
        if not number <= found[name] <= most:
            wrong.append(f"there are {found[name]} records {name}, undisturbed {number}")
    return wrong


def _left_over(stage: Stage) -> list[str]:
    found = [str(path.relative_to(stage.project)) for pattern in LEFT for path in stage.project.glob(pattern)]
    found += [str(path.relative_to(stage.state)) for pattern in WORK_LEFT for path in stage.state.glob(pattern)]
    return [f"{path} is left over" for path in sorted(found) if not path.startswith(CACHES)]


def _git_says(stage: Stage) -> list[str]:
    if not (stage.project / ".git").is_dir():
        return []
    status, fsck = git(stage, "status", "--porcelain"), git(stage, "fsck", "--connectivity-only", "--no-dangling")
    told = [f"git status says {line!r}" for line in (status.stdout + status.stderr).splitlines()]
    return told + [f"git fsck says {line!r}" for line in (fsck.stdout + fsck.stderr).splitlines()]


def _verdict(stage: Stage) -> list[str]:
    verified = stage.command(("verify", "--json"))
    return [] if verified.code == 0 else [f"verify exits {verified.code}: {answer(verified)}"]


def _checkpoints(stage: Stage, tasks: dict[str, str]) -> list[str]:
    folder = stage.project / ".runs" / RUN_ID / "checkpoints"
    done = [name for name, state in tasks.items() if state == "COMPLETED"]
    return [f"the checkpoint of {name} is missing" for name in sorted(done) if not _whole(folder / f"{name}.json")]


def _whole(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text()))
    except (OSError, ValueError):
        return False
