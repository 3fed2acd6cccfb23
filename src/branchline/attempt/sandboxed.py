"""The run's sandbox around what a step starts: an agent, the gates of a checkout, a set-up command."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from branchline.agents.access import access
from branchline.agents.base import Agent
from branchline.attempt.run import Place
from branchline.core.facts import OwnSandbox
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus
from branchline.core.model.verdict import Outcome, QualityReport
from branchline.git.filters import Wrap
from branchline.git.workspace import LFS
from branchline.sandbox.bubblewrap import Access, Entered, Sandbox, overlays
from branchline.sandbox.mounts import Mode, Mount, occupied
from branchline.sandbox.probe import nests

NAMED = 3  # refused hosts in a sentence


@contextmanager
def agent_in_sandbox(
    run: Place, agent: Agent, request: AgentRequest, tree: Path, *, metered: bool
) -> Iterator[tuple[AgentRequest, Entered, OwnSandbox]]:
    """The sandbox for one attempt: the request that fits it, how it is entered, what became of a sandbox of the agent's own.

    That one is kept within ours where that can be, or else switched off.
    """
    own: OwnSandbox = ""
    needs = access(agent, request, run.environ, metered=metered)
    if needs.nests and run.sandbox.on:
        own = "nested" if nests(run.sandbox.fact.program) else "off"
        needs = replace(needs, nests=own == "nested")
        request = msgspec.structs.replace(request, own_sandbox=own == "nested")
    mode: Mode = "read" if request.mode == "read" else "write"
    with run.sandbox.entered(replace(needs, mounts=(*_workspace(run, tree, mode), *needs.mounts))) as entered:
        yield request, entered, own


def commands_in_sandbox(run: Place, tree: Path) -> AbstractContextManager[Entered]:
    """The sandbox for gates and set-up: they may write the workspace that they work in, and read the user's caches."""
    return run.sandbox.entered(Access(mounts=tuple(_workspace(run, tree, "write")), caches=True))


def filters_in(sandbox: Sandbox) -> Wrap:
    """What puts the user's filters into the sandbox: the content that they read may come from an agent."""

    def wrap(argv: Sequence[str], folder: Path, mounts: Sequence[Mount]) -> Sequence[str]:
        shown = []
        for one in mounts:
            if one.mode == "write":
                one.source.mkdir(parents=True, exist_ok=True)
            if one.source.exists():
                kept = one.mode == "throwaway" and not overlays(sandbox.fact.program, one.source)
                shown.append(replace(one, mode="write") if kept else one)
        with sandbox.entered(Access(mounts=tuple(shown))) as entered:
            return entered.wrap(argv, folder) if entered.wrap else argv

    return wrap


def _workspace(run: Place, tree: Path, mode: Mode) -> Iterator[Mount]:
    """A workspace at the place of the user's checkout, the objects that it borrows, and the folders that set-up shares."""
    root = run.repo.root
    yield Mount(tree, root, mode)
    for link, objects in run.workspaces.borrowed.items():
        yield Mount(objects, link, "read")
        if (objects / "info/alternates").is_file():  # these are borrowed by a link of their own
            yield Mount(Path(os.devnull), link / "info/alternates", "read")
    store = run.repo.user.lfs_store
    yield from (Mount(store, link.parent / LFS, "read") for link in [*run.workspaces.borrowed][:1] if store.is_dir())
    for name in run.settings.setup.symlink:
        shared, place = (root / name).resolve(), root / name
        if shared.is_dir() and not occupied(place, [Mount(tree, root, mode)]):
            yield Mount(shared, place, "throwaway")


def with_refused(result: AgentResult, refused: tuple[str, ...]) -> AgentResult:
    """The result of an attempt that failed, with the hosts that it was not let through to: they may be why."""
    if not refused or result.status is AgentStatus.OK:
        return result
    return msgspec.structs.replace(result, message=f"{result.message}{refused_words(refused)}")


def report_with_refused(report: QualityReport, refused: tuple[str, ...]) -> QualityReport:
    """The same for gates; which of them asked is not known."""
    if not refused:
        return report
    bad = {Outcome.FAILED, Outcome.ERROR}
    results = [
        msgspec.structs.replace(one, reason=f"{one.reason}{refused_words(refused)}") if one.outcome in bad else one
        for one in report.results
    ]
    return msgspec.structs.replace(report, results=tuple(results))


def refused_words(refused: tuple[str, ...]) -> str:
    """The end of a sentence about what failed; empty if nothing was refused."""
    if not refused:
        return ""
    more = f" and {len(refused) - NAMED} more" if len(refused) > NAMED else ""
    return f"; the sandbox refused {', '.join(refused[:NAMED])}{more}"
