"""The demo: the repository that it plays in, how its story must end, whether it did, and what that shows."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from branchline.config.load import load_settings, plan_of
from branchline.core.outcome import workstream_outcomes
from branchline.core.pipeline import STEPS
from branchline.core.refs import DEFAULT_TAG, Refs, branch_ref, tag_ref
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.core.workstream import known
from branchline.engine.opening import git_fault
from branchline.engine.request import Request, pin
from branchline.errors import InvalidInput
from branchline.git.command import Git
from branchline.git.landing.checkout import is_dirty
from branchline.git.repo import Repo
from branchline.ledger.codec import Record
from branchline.ledger.log import read, require
from branchline.ledger.paths import RunPaths
from branchline.views.format.text import short, wrapped

PROJECT = Path(__file__).with_name("project")
OTHER = "branchline demo --keep NEW_FOLDER"
LANDED = ("lines", "summary", "longest", "heading-plain")
REPAIRED = "longest"
FIXED = "lines"
QUARANTINED = "heading-upper"

OPENING = (
    "Five workstreams, thirteen steps, agents that follow a script: no key, no network.",
    "One builds on another. One fails its tests and repairs its work. Two want the",
    "same line, and one of these is left out; nothing it made is lost.",
)


def stage(folder: Path) -> Request:
    """Make the repository in the new or empty folder `folder`; what the demo will ask of a run.

    Raises InvalidInput if something is in the folder, or if it cannot be written.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InvalidInput(f"{folder} is not empty", hint=OTHER)
        shutil.copytree(PROJECT, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    except OSError as error:
        raise InvalidInput(f"cannot write {folder}: {error.strerror}", hint=OTHER) from error
    git = Git(folder / ".git", folder)
    git.call("init", "--quiet", "--initial-branch=main")
    git.call("add", "--all", "--", ".")
    git.call("commit", "--quiet", "--message", "Count words")
    settings = load_settings(None, root=folder)

    def ours(argv: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The Python that runs us: there may be no other, or one behind a shim slower than the gate."""
        return argv and tuple(sys.executable if word == "python3" else word for word in argv)

    gates = tuple(replace(gate, fix=ours(gate.fix), verify=ours(gate.verify)) for gate in settings.gates)
    settings = replace(settings, gates=gates)
    plan = plan_of(folder / "plan.yaml", settings)
    return pin(Repo.open(folder), settings, plan=plan)


@dataclass(frozen=True, slots=True)
class Ending:
    """What is there once the run has ended: its verified ledger and its repository, each read anew."""

    paths: RunPaths
    repo: Repo
    records: tuple[Record, ...]
    state: RunState

    @classmethod
    def of(cls, paths: RunPaths) -> "Ending":
        """Read it. Raises LedgerError if the ledger does not verify."""
        reading = read(paths)
        return cls(paths, Repo.open(paths.root), reading.records, require(reading, paths))

    def commits(self) -> dict[str, str | None]:
        """The commit that each witness names; in this story it is the same for all."""
        steps = self.state.pipeline
        return {
            "the merge result": steps.integration.commit if steps.integration else None,
            "the commit that CI passed": steps.ci.commit if steps.ci else None,
            "the commit that shipped": steps.shipped.commit if steps.shipped else None,
            "main": self.repo.read_ref(branch_ref("main")),
            "the release tag": self.repo.read_ref(tag_ref(Refs(self.paths.run_id).tag(DEFAULT_TAG))),
            "HEAD of the checkout": self.repo.head_commit(),
        }


def differences(ending: Ending) -> Iterator[str]:
    """What did not come out as told, a sentence each; none if the story is true."""
    state = ending.state
    for step in STEPS:
        record = state.find(step.name, QUARANTINED if step.fans_out else "")
        if record is None or record.state != State.COMPLETED:
            yield f"step {step.number}, {step.name}, did not complete"
    for outcome in workstream_outcomes(state):
        wanted = State.COMPLETED if outcome.id in LANDED else State.FAILED
        if outcome.state != wanted:
            yield f"workstream {outcome.id} is {outcome.state} ({outcome.reason}), not {wanted}"
        rounds = 2 if outcome.id == REPAIRED else 1
        executed = state.find("execute", outcome.id)
        if executed is None or executed.task.round != rounds:
            yield f"workstream {outcome.id} took {executed.task.round if executed else 0} rounds, not {rounds}"
        if outcome.id == QUARANTINED and "conflict" not in outcome.reason:
            yield f"workstream {outcome.id} was not left out for a conflict, but: {outcome.reason}"
    if state.end is None or state.end.status != "partial":
        yield f"the run ended {state.end.status if state.end else 'not at all'}, not partial"
    commits, repo = ending.commits(), ending.repo
    if None in commits.values() or len(set(commits.values())) > 1:
        yield "these are not one commit: " + ", ".join(f"{who} {commit}" for who, commit in commits.items())
    if is_dirty(repo):
        yield "the checkout is not clean"
    kept = Refs(ending.paths.run_id).gate(f"{QUARANTINED}-1")
    if repo.read_ref(kept) is None:
        yield f"the quarantined work is not kept: there is no {kept}"
    if fault := git_fault(repo, ending.paths, read(ending.paths)):
        yield f"the ledger does not agree with the mark in git: {fault}"
    fixed = state.pipeline.of(FIXED)
    if fixed.work is None or fixed.batch is None or fixed.batch.tree == fixed.work.tree:
        yield f"no fixer changed the batch of {FIXED}"


def moral(ending: Ending) -> list[str]:
    """What the run has shown, with the commands to look for oneself."""
    run, commit = ending.paths.run_id, short(str(ending.commits()["main"]))
    repair = known(ending.state.find("code_gate", REPAIRED))
    told = {
        "What was tested is what landed.": (
            f"The merge result, the commit that CI passed, main, the release tag and the checkout are one: {commit}.",
            f"git show --stat {Refs(run).tag(DEFAULT_TAG)}",
        ),
        "A failed gate is a report, not an end.": (
            f"{REPAIRED} failed its tests; its agent got the report and repaired it in a second round.",
            f"branchline show {run} {repair.task.id}",
        ),
        "Nothing is lost.": (
            f"{QUARANTINED} conflicts with what was merged before it, so it was left out, whole. Its work is kept.",
            f"branchline diff {run} {QUARANTINED}",
        ),
        "The record is whole.": (
            f"All {len(ending.records)} records verify, each by the hash of those before it, and against git.",
            f"branchline verify {run}",
        ),
    }
    lines = ["What this has shown"]
    for title, (text, command) in told.items():
        lines += ["", f"  {title}", *wrapped(text, indent="  "), f"    {command}"]
    lines += ["", "Look for yourself", f"  cd {ending.paths.root}", ""]
    lines += ["The story came out as told: exit code 0."]
    return [*lines, "A run of your own that leaves a workstream out ends with exit code 5."]
