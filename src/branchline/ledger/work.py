"""Where a run's work is done: workspaces, clean checkouts and agents' own folders, outside the user's tree.

Programs look for their settings and packages in the folders above them, so nothing that runs may lie in a checkout of
the user's. Names are short: the path of a socket has at most 108 bytes (unix(7)).
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from branchline.core.rules.linear import compiled
from branchline.errors import InvalidInput

VARIABLE = "BRANCHLINE_STATE"
OWNER = "owner"
LONGEST = 8  # characters of a repository's name
DIGITS = 6  # of a digest


class WorkArea:
    """The folders of one run's work. `home` is shared by all runs of the repository."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home, self.folder = home, folder
        self.workspaces = folder / "w"  # one workspace a workstream
        self.checkouts = folder / "c"  # clean checkouts for gates and planners: not the user's or an agent's work
        self.rooms = folder / "a"  # a folder for each attempt under way, or whose coordinator was killed

    def room(self, task_id: str, attempt: int) -> Path:
        """What the agent of an attempt may write besides its workspace: its home, its temporary files, its input."""
        return self.rooms / _digest(f"{task_id}.{attempt}")


def work_area(environ: Mapping[str, str], common: Path, run_dir: Path, *outside: Path) -> WorkArea:
    """The work area of the run whose record is `run_dir`, in the repository with the git common directory `common`.

    It lies in the folder that the variable BRANCHLINE_STATE names, else in `$XDG_STATE_HOME/branchline`, else in
    `/var/tmp`; never within one of `outside`. Raises InvalidInput if no such folder can be written.
    """
    name = compiled(r"[^A-Za-z0-9]+").sub("-", common.parent.name if common.name == ".git" else common.stem).strip("-")
    hint = f"export {VARIABLE}=FOLDER, a folder of yours outside {outside[0] if outside else common}"
    home = own_folder(_states(environ), outside, "workspaces", hint) / f"{name[:LONGEST] or 'repo'}-{_digest(common)}"
    return WorkArea(home, home / _digest(run_dir))


def own_folder(places: Iterable[Path], outside: Iterable[Path], what: str, hint: str) -> Path:
    """The first of these places that only we can write, outside the repository. Raises InvalidInput if none is."""
    tried = []
    for one in places:
        place = one.resolve()
        inside = any(place.is_relative_to(other) for other in outside)
        problem = "it lies in the repository" if inside else _objection(one)
        if not problem:
            return place
        tried.append(f"{one}: {problem}")
    raise InvalidInput(f"no folder for {what} can be made ({'; '.join(tried)})", hint=hint)


def for_all_homes() -> Path:
    """Where things of ours are kept if the user has no home for them."""
    return Path(f"/var/tmp/branchline-{os.getuid()}")  # noqa: S108 - ours alone: see _objection


def claim(area: WorkArea, run_dir: Path) -> None:
    """Make the folder, and note in it whose it is: a repository may be copied with its runs."""
    area.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (area.folder / OWNER).write_bytes(os.fsencode(run_dir))


def vacate(area: WorkArea) -> None:
    """Remove the run's folder if no work is left in it."""
    with suppress(OSError):
        for folder in (area.workspaces, area.checkouts, area.rooms):
            if folder.exists():
                folder.rmdir()
        if {entry.name for entry in area.folder.iterdir()} <= {OWNER}:
            (area.folder / OWNER).unlink(missing_ok=True)
            area.folder.rmdir()


def is_of(folder: Path, run_dir: Path) -> bool:
    """Whether a work area is that of the run with this record, which may have been moved since."""
    try:
        owner = Path(os.fsdecode((folder / OWNER).read_bytes()))
    except OSError:
        return False
    return owner == run_dir or not owner.exists()


def _states(environ: Mapping[str, str]) -> Iterator[Path]:
    if named := environ.get(VARIABLE):
        yield Path(named).absolute()
        return
    if os.path.isabs(state := environ.get("XDG_STATE_HOME", "")):
        yield Path(state) / "branchline"
    elif os.path.isabs(home := environ.get("HOME", "")) and home != "/":
        yield Path(home) / ".local/state/branchline"
    yield for_all_homes()


def _objection(place: Path) -> str:
    """Make the folder; why it cannot be used: only we may be able to change what is in it, or lead to it."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        named, found = place.lstat(), place.stat()
    except OSError as error:
        return error.strerror or str(error)
    if {named.st_uid, found.st_uid} != {os.getuid()}:
        return "it belongs to another user"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "other users can write it"
    return "" if os.access(place, os.W_OK | os.X_OK) else "it cannot be written"


def _digest(path: str | Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:DIGITS]
