"""`branchline verify`: whether a ledger is whole and makes sense."""

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from branchline.cli.history import chosen
from branchline.cli.options import json_option, repo_option, run_argument
from branchline.cli.output import emit, show
from branchline.core.events import RunStarted
from branchline.core.run_state import RunState
from branchline.engine.crosscheck import Comparison, compared
from branchline.engine.record_files import Difference
from branchline.errors import BranchlineError
from branchline.ledger.lease import is_held
from branchline.ledger.log import Fault, Reading, read, require
from branchline.ledger.paths import RunPaths
from branchline.views.format.text import count, plain


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. A torn tail, the last line of a writer that was killed, is cut off by the next resume.

    `differences`: what git and the run's files have otherwise than the ledger says; of a live run nobody can tell.
    `not_covered`: what was not looked at, because the ledger says nothing about it.
    """

    ok: bool
    run_id: str
    records: int
    torn_bytes: int
    fault: Fault | None
    differences: tuple[Difference, ...] = ()
    not_covered: tuple[str, ...] = ()


@click.command("verify")
@run_argument
@repo_option
@json_option
def command(*, run: str | None, repo: Path, as_json: bool) -> int:
    """Check that a ledger is whole and makes sense.

    Every record's hash and place, every move of every task, the high-water marks beside the ledger and in git; then
    every ref and file that the ledger vouches for, and the content of every object that the run made or that landed.
    Exits 1 at the first bad record, or if something is gone, was moved or was changed. Branches of an ended run are their
    user's to move: that is told, and is no fault. What was not looked at is named.
    """
    paths = chosen(repo, run)
    reading = read(paths)
    fault = reading.fault or _senseless(reading) or _cut_off(paths, reading)
    live = is_held(paths)
    seen = Comparison(not_covered=("all but the ledger: the run is being driven",)) if live else Comparison()
    if not (fault or live):
        seen = compared(paths, reading.records, require(reading, paths))
    marks = tuple(_unmarked(paths, reading)) if fault is None and not live else ()
    found = Verdict(
        ok=fault is None and not any(one.serious for one in seen.differences),
        run_id=paths.run_id,
        records=reading.count,
        torn_bytes=reading.torn,
        fault=fault,
        differences=(*marks, *seen.differences),
        not_covered=seen.not_covered,
    )
    if as_json:
        emit(found)
    else:
        size = count(found.records, "record")
        if found.fault is None:
            lines = [f"{'failed' if one.serious else 'note'}: {plain(one.text)}" for one in found.differences]
            lines += [f"not covered: {plain(', '.join(found.not_covered))}"] if found.not_covered else []
            lines.append(f"{'ok' if found.ok else 'the ledger itself is whole'}: {size}, run {found.run_id}")
        else:
            lines = [f"failed: {plain(str(found.fault))}", f"        {paths.ledger}, {size} before it"]
        if found.torn_bytes:
            lines.append(f"        a torn tail of {found.torn_bytes} bytes: the next resume cuts it off")
        show(lines)
    return 0 if found.ok else 1


def _senseless(reading: Reading) -> Fault | None:
    """The first record that does not follow from those before it."""
    state = RunState()
    for record in reading.records:
        try:
            state.apply(record.event)
        except (BranchlineError, KeyError) as error:
            return Fault(record.seq, record.offset, f"it does not make sense: {error}")
    return None if reading.records else Fault(0, 0, "there is no whole record: the run never began")


def _cut_off(paths: RunPaths, reading: Reading) -> Fault | None:
    """What git's mark says against a pipeline's ledger."""
    first = reading.records[0].event
    if not (isinstance(first, RunStarted) and first.kind == "pipeline"):
        return None
    from branchline.engine.opening import git_fault
    from branchline.git.repo import Repo

    return git_fault(Repo.open(paths.root), paths, reading)


def _unmarked(paths: RunPaths, reading: Reading) -> Iterator[Difference]:
    """What the mark beside the ledger does not vouch for; it is never synced, so that a power cut may lose it."""
    last = reading.records[-1]
    if reading.mark is None:
        yield Difference(
            text=f"{paths.head.name} is missing or damaged: it does not vouch for any record", serious=False
        )
    elif reading.mark[0] < last.seq:
        text = f"{paths.head.name} vouches for records up to {reading.mark[0]}, not for those up to {last.seq}"
        yield Difference(text=text, serious=False)
