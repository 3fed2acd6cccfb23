"""A person's yes or no to what waits in a run, whoever drives it."""

import os
import time
from typing import Literal

from branchline.cli.driving import driven
from branchline.cli.history import History, ask
from branchline.cli.output import emit, say
from branchline.core.approvals import chosen, sentence
from branchline.engine.pipeline import resume
from branchline.errors import InvalidInput, RunBusy
from branchline.ledger.lease import is_held
from branchline.process.sweep import MARKER
from branchline.views.format.text import plain

POLL_SECONDS = 0.1
Verb = Literal["approve", "reject"]
PAST: dict[Verb, str] = {"approve": "approved", "reject": "rejected"}


def require_person() -> None:
    """Raise InvalidInput in a process that an attempt has started: no agent approves anything."""
    if os.environ.get(MARKER):
        raise InvalidInput("an agent's process may neither approve nor reject anything")


def decide(history: History, verb: Verb, task: str | None, *, reason: str = "", as_json: bool) -> int:
    """Say yes or no to the trees that wait, and see that the run goes on; the exit code. Raises InvalidInput."""
    run_id, waiting = history.run_id, chosen(history.state, task)
    if not waiting:
        what = f"{task!r} does not wait" if task else "nothing waits"
        raise InvalidInput(f"{what} for anybody in run {run_id}", hint=f"branchline status {run_id}")
    files = []
    for name, need in waiting.items():
        files.append(ask(history.paths, verb, task_id=name, tree=need.tree, reason=reason))
        say(f"{PAST[verb]}: {name} with tree {need.tree[:12]}, which {plain(sentence(need))}")
    if history.live:
        while is_held(history.paths) and any(file.exists() for file in files):
            time.sleep(POLL_SECONDS)
        if not any(file.exists() for file in files):
            say(f"run {run_id} has been told; watch it: branchline log -f {run_id}")
            if as_json:
                emit({"run_id": run_id, "asked": verb, "tasks": list(waiting)})
            return 0
    try:
        return driven(history.paths, lambda session: resume(history.paths, session), as_json=as_json)
    except RunBusy:  # somebody has taken it up in between, and the decision with it
        say(f"run {run_id} goes on elsewhere; watch it: branchline log -f {run_id}")
        return 0
