"""What kills and people leave wrong of a run's worktrees and locks: found, and healed.

Looking and healing are one: a wound says what is wrong, and carries what mends it. Only what the run's ledger names is
touched. Healing is for whoever holds the run's lease, with no process of the run alive.
"""

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from branchline.git.locks import Lock, is_of_run, locks, locks_of_worktree, owner
from branchline.git.registration import Registration, registrations
from branchline.git.repo import Repo
from branchline.git.worktree import REMOVED, UNREGISTERED, Worktrees, delete_tree, is_bare_start

_TAIL = 4  # parts of a worktree's path that no other run's has: .runs, the run's id, the kind, the name


@dataclass(frozen=True, slots=True)
class Wound:
    """Something that is not as it should be: `name` of what, and the fact.

    `cure`: what mending does ("remove it"); without one only a person can mend it, by `command`.
    """

    name: str
    text: str
    cure: str = ""
    command: str = ""
    mend: Callable[[], object] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Named:
    """A worktree that a ledger names, on the branch with this full name. `given`: an agent may have worked in it."""

    path: Path
    ref: str
    given: bool


@dataclass(frozen=True, slots=True)
class Place:
    """The worktrees of one run: those it names, and the folder of its clean checkouts, which are nobody's work."""

    repo: Repo
    worktrees: Worktrees
    run_id: str
    named: Sequence[Named]
    scratch: Path

    @property
    def refs(self) -> Collection[str]:
        """The branches that only this run writes."""
        return {*(one.ref for one in self.named), f"refs/heads/integration/{self.run_id}"}


def registration_wounds(place: Place) -> Iterator[Wound]:
    """What is wrong with what git keeps of the run's worktrees. To be mended as the one writer, in this order."""
    known = registrations(place.repo.common_dir)
    for one in known:
        if inside := _scratch_of(one, place.scratch):
            text = f"the clean checkout {inside.name} is left of a step that was killed"
            yield Wound(inside.name, text, "remove it", mend=partial(_forget, place.worktrees, one, inside, True))
    for named in place.named:
        found = next((one for one in known if one.names(named.path)), None)
        found = found or next((one for one in known if _strayed(one, named.path)), None)
        if found is not None:
            yield from _of_registration(place, found, named)
            if not found.readable_index and (found.made or named.given):
                yield _unreadable_index(place, found, named)
        else:
            yield from _of_unregistered(place, named)
    yield from _unfinished(place)


def lock_wounds(place: Place) -> Iterator[Wound]:
    """The locks that a killed git has left on what only this run writes."""
    root = place.repo.root
    for lock in locks(place.repo.common_dir):
        if is_of_run(lock, place.run_id, place.refs):
            yield _locked(lock.ref, lock, [root, place.repo.common_dir])
    for one in registrations(place.repo.common_dir):
        named = next((named for named in place.named if one.names(named.path)), None)
        for lock in locks_of_worktree(one.admin) if named else ():
            assert named is not None
            yield _locked(f"worktree {named.path.name}", lock, [named.path, one.admin])


def is_elsewhere(found: Registration, path: Path) -> bool:
    """Whether a registration that is not that of `path` belongs to a worktree that is in use elsewhere."""
    return found.place != path and found.lives_at(found.place)


def _strayed(found: Registration, path: Path) -> bool:
    """Whether it is that of our worktree at `path`, though it names another: the worktree or the repository was moved."""
    if path in (found.note, found.kept):
        return True
    said = found.place
    return said is not None and said.parts[-_TAIL:] == path.parts[-_TAIL:] and not found.lives_at(said)


def _scratch_of(found: Registration, scratch: Path) -> Path | None:
    """The clean checkout that it is of, if it is of one in `scratch`."""
    said = found.place or found.note or found.kept
    inside = scratch / said.name if said is not None else None
    return inside if inside is not None and (found.names(inside) or _strayed(found, inside)) else None


def _of_registration(place: Place, found: Registration, named: Named) -> Iterator[Wound]:
    path, name = named.path, f"worktree {named.path.name}"
    damage, said = found.damage(), found.place
    if not found.made and not named.given:
        text = "it was being made when that was killed; nobody has worked in it"
        yield Wound(name, text, "remove it", mend=partial(_forget, place.worktrees, found, path, found.lives_at(path)))
        return
    right = partial(found.write, path, named.ref, head="HEAD" in damage)
    if said is not None and is_elsewhere(found, path):
        yield _moved(name, said, path, right)
    elif damage or found.on != named.ref:
        what = " and ".join(damage) or "our mark"
        text = f"its registration {found.admin.name} lacks {what}: git may fail in the whole repository"
        yield Wound(name, text, "write the registration again", mend=right)
    elif said != path:
        text = f"its registration {found.admin.name} says that it is at {said}"
        yield Wound(name, text, "write the registration again", mend=right)
    elif found.note != path or found.kept != path:
        text = f"its registration {found.admin.name} is not locked any more: git worktree prune could take it"
        yield Wound(name, text, "lock it", mend=right)


def _unreadable_index(place: Place, found: Registration, named: Named) -> Wound:
    text = "its index is gone or cut off: git in it fails, or takes every file for a new one"
    mend = partial(_read_index, place, found, named)
    return Wound(f"worktree {named.path.name}", text, "read it again from its branch", mend=mend)


def _read_index(place: Place, found: Registration, named: Named) -> None:
    commit = place.repo.read_ref(named.ref)  # it may be gone, too
    draft = found.admin / "index.branchline"  # the index itself may still be locked by a git that was killed
    place.repo.content.at(named.path, draft).call("read-tree", commit or "--empty")
    draft.replace(found.admin / "index")


def _moved(name: str, said: Path, path: Path, right: Callable[[], None]) -> Wound:
    text = f"it was moved to {said}"
    if os.path.lexists(path):
        return Wound(name, f"{text}, and something else is at {path}", command=f"mv {path} {path}.other")

    def back() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(said, path)
        right()

    return Wound(name, text, "move it back", mend=back)


def _of_unregistered(place: Place, named: Named) -> Iterator[Wound]:
    path, name = named.path, f"worktree {named.path.name}"
    if path.is_symlink() or not path.is_dir() or is_bare_start(path):
        return
    if not named.given:
        yield Wound(name, "something that is not ours is in its place", command=f"mv {path} {path}.other")
        return

    def adopt() -> None:
        folder = place.repo.common_dir / "worktrees"
        names = (path.name, *(f"{path.name}{number}" for number in range(1, 1000)))
        free = next(one for one in names if not os.path.lexists(folder / one))
        made = Registration(folder / free)
        made.write(path, named.ref, head=True)
        _read_index(place, made, named)

    yield Wound(name, "git does not know it any more: its registration is gone", "register it again", mend=adopt)


def _unfinished(place: Place) -> Iterator[Wound]:
    """Removals that were killed halfway: they go on, no name of theirs is in use."""
    common, inside = place.repo.common_dir, {f"{REMOVED}{named.path.name}" for named in place.named}
    for folder in {named.path.parent for named in place.named}:
        for path in sorted(folder.glob(f"{REMOVED}*")) if folder.is_dir() else ():
            if path.name in inside:
                yield Wound(path.name, "its removal was not finished", "remove it", mend=partial(delete_tree, path))
    for path in sorted(common.glob(f"{UNREGISTERED}*")):
        if path.name.startswith(f"{UNREGISTERED}{place.run_id}@"):
            yield Wound(path.name, "its removal was not finished", "remove it", mend=partial(delete_tree, path))


def _locked(name: str, lock: Lock, folders: list[Path]) -> Wound:
    text = f"{lock.name} is left of a git that was killed"
    if who := owner(lock, folders):
        return Wound(name, f"{lock.name} is there, and {who}", command=f"rm {lock.path}  # once that has ended")
    return Wound(name, text, "remove it", mend=partial(_unlink, lock, folders))


def _unlink(lock: Lock, folders: list[Path]) -> None:
    if not owner(lock, folders):
        lock.path.unlink(missing_ok=True)


def _forget(worktrees: Worktrees, found: Registration, path: Path, files: bool) -> None:
    """Remove what nobody was given: its `files`, if they are of this worktree, then the registration."""
    if files or is_bare_start(path):
        delete_tree(path)
    worktrees.unregister(found)
