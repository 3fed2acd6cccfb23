"""Which runs a repository has, and which of them a name means."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from branchline.core.refs import RUNS as RUN_REFS
from branchline.core.rules.linear import compiled
from branchline.errors import InvalidInput
from branchline.ledger.paths import RUN_ID, RUNS, RunPaths, common_dir, record_home
from branchline.ledger.seal import first_record, is_ours


def run_ids(root: Path) -> list[str]:
    """All runs of a checkout or a plain folder, the latest started last."""
    homes = dict.fromkeys(place.resolve() for place in (record_home(root), root / RUNS))
    return [name for _, name in sorted({one for home in homes for one in _started(home)})]


def own_runs(root: Path) -> list[RunPaths]:
    """Those of them that this user began on this machine."""
    return [paths for name in run_ids(root) if is_ours(paths := RunPaths(root, name))]


def saved_runs(root: Path) -> list[str]:
    """The runs that have refs in the repository, also where their record is gone; found without git."""
    common = common_dir(root)
    if common is None:
        return []
    loose = common / RUN_REFS
    found = {entry.name for entry in loose.iterdir() if entry.is_dir()} if loose.is_dir() else set()
    with suppress(OSError):
        text = (common / "packed-refs").read_text("utf-8", "surrogateescape")
        found |= set(compiled(rf" {RUN_REFS}([^/\n]+)/").findall(text))
    return sorted(name for name in found if RUN_ID.fullmatch(name))


def lost_runs(root: Path) -> list[str]:
    """The runs of which only the refs are left."""
    known = run_ids(root)
    return [name for name in saved_runs(root) if name not in known]


def _started(folder: Path) -> Iterator[tuple[str, str]]:
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        ledger = entry / "logs" / "run.jsonl"
        if not (RUN_ID.fullmatch(entry.name) and ledger.is_file()):
            continue
        record = first_record(ledger)
        # A damaged one is there, too: `verify` must be able to name it.
        yield str(record.get("timestamp", "")) if isinstance(record, dict) else "", entry.name


def find_run(root: Path, name: str | None) -> RunPaths:
    """The run of that id or unique prefix; without a name, the latest, of ours if there are any. Raises InvalidInput."""
    known = run_ids(root)
    if name is None:
        known = list(islice((one for one in reversed(known) if is_ours(RunPaths(root, one))), 1)) or known
    return RunPaths(root, pick_run(known, name, f"in {record_home(root)}"))


def pick_run(known: Sequence[str], name: str | None, where: str) -> str:
    """The run of that id or unique prefix; the last without a name. Raises InvalidInput."""
    if not known:
        raise InvalidInput(f"there are no runs {where}", hint="branchline run --plan FILE")
    if name is None:
        return known[-1]
    found = [run_id for run_id in known if run_id == name] or [r for r in known if r.startswith(name.upper())]
    found = found or [r for r in known if r.startswith(name)]
    if len(found) == 1:
        return found[0]
    problem = f"{name!r} begins {len(found)} runs: {', '.join(found[:5])}" if found else f"there is no run {name!r}"
    raise InvalidInput(problem, hint="branchline list")
