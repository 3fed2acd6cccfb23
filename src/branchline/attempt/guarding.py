"""The watch over the repository's git directory while agents work: what they change there is noticed and put back.

Only one of those that work can have done it. If several do, nobody knows which: each is asked to work again, alone.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from branchline.core.result import Failure
from branchline.errors import GitError
from branchline.git.fingerprint import (
    Fingerprint,
    as_it_was,
    checked_out,
    known_to_checkout,
    mend_refs,
    moved_refs,
    put_back,
    take,
    tampered,
)
from branchline.git.repo import Repo
from branchline.ledger.paths import RunPaths

if TYPE_CHECKING:
    from branchline.attempt.run import Run

MOVED = "moved/"  # of the run's refs: where the user's were that moved meanwhile
_TRIES = 4
PATIENCE = 0.2  # seconds between two looks whether one may begin


@dataclass(slots=True, eq=False)
class Watched:
    """What happened to the git directory while one worked: `changes` in words, those that were `put_back`.

    `certain`: nobody else can have done it. `before` and `after` are fingerprints, in one word each.
    """

    name: str
    before: str = ""
    after: str = ""
    certain: bool = False
    changes: list[str] = field(default_factory=list)
    put_back: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Guard:
    """Watches for one run. `armed`: agents can write the git directory, so what changes there may be their doing.

    `target`: the branch that the run is to ship to.
    """

    repo: Repo
    paths: RunPaths
    target: str
    armed: bool
    _turn: threading.Condition = field(default_factory=threading.Condition)
    _active: list[Watched] = field(default_factory=list)
    _exclusive: Watched | None = None
    _suspects: set[str] = field(default_factory=set)
    _trusted: int = 0
    _known: Fingerprint | None = None

    @contextmanager
    def watching(self, name: str, ended: Callable[[], bool] = lambda: False) -> Iterator[Watched]:
        """Watch while `name` works: with others, or alone if it may have changed something before."""
        watched = Watched(name)
        self._enter(watched, ended)
        try:
            yield watched
        finally:
            with self._turn:
                self._leave(watched)

    @contextmanager
    def trusting(self) -> Iterator[None]:
        """What changes meanwhile is taken as it is: set-up may have been told to."""
        with self._turn:
            self._trusted += 1
        try:
            yield
        finally:
            with self._turn:
                self._look()
                self._trusted -= 1

    def _leave(self, watched: Watched) -> None:
        try:
            watched.after = self._look().digest
        finally:  # whatever state the git directory is in, the others must not wait for ever
            self._active.remove(watched)
            self._exclusive = None if self._exclusive is watched else self._exclusive
            self._suspects -= {watched.name}
            self._suspects |= {watched.name} if watched.put_back and not watched.certain else set()
            self._turn.notify_all()

    def _enter(self, watched: Watched, ended: Callable[[], bool]) -> None:
        alone = watched.name in self._suspects
        with self._turn:
            while (self._exclusive or (alone and self._active)) and not ended():
                self._turn.wait(PATIENCE)
            watched.before = self._look().digest
            self._active.append(watched)
            self._exclusive = watched if alone else None

    def _look(self) -> Fingerprint:
        """Compare with what is known, put back what was tampered with, and tell those that work."""
        for _ in range(_TRIES - 1):
            with suppress(GitError):  # damaged again since it was looked at, by one that is still at it
                return self._compare()
        return self._compare()

    def _compare(self) -> Fingerprint:
        now = take(self.repo, self._ours())
        known = self._known
        nobodys = not self._active and now.refs is not None  # who else works here may change what they like
        if known is None or nobodys or not self.armed or self._trusted:
            self._known = now
            return now
        wrong = tampered(known, now)
        if wrong:
            self._tell(*(f"{name} in the git directory" for name in wrong))  # first: it may fail halfway
            put_back(self.repo, known, wrong, self._free())
        if now.refs is None and known.refs is not None:
            self._tell("refs that no git could read")
            mend_refs(self.repo, known, self._free())
        moved, back = list(moved_refs(known, now)), {}
        for ref, old, new in moved:
            if why := self._put_back_ref(ref, old, new):
                back[ref] = old
                self._tell(why)
        self._tell(*self._own_put_back(known, now))
        for one in self._active:
            one.changes += [f"{ref}: {old or 'nothing'} -> {new or 'nothing'}" for ref, old, new in moved]
        # What was put back is known as it was, not as it is a moment later: it may have been changed again.
        self._known = as_it_was(known, now, wrong, back)
        return now

    def _tell(self, *put_back: str) -> None:
        """Tell those that work what is put back; if there is one, it was that one."""
        for one in self._active:
            one.put_back += put_back
            one.certain = one.certain or (bool(put_back) and len(self._active) == 1)

    def _put_back_ref(self, ref: str, old: str | None, new: str | None) -> str:
        """Put a ref back that only an agent can have moved, and say so; keep the tip of any other that moved."""
        if old is None:
            if not ref.startswith("refs/replace/"):  # what it stands for would be another object to the user
                return ""
            self.repo.move_ref(ref, None, new)
            return f"{ref} made"
        self.repo.keep_ref(f"refs/branchline/{self.paths.run_id}/{MOVED}{ref.removeprefix('refs/')}", old)
        mine = checked_out(self.repo)
        foreign = ref == mine and new is not None and not known_to_checkout(self.repo, new)
        if not foreign and (new is not None or ref not in {mine, f"refs/heads/{self.target}"}):
            return ""
        self.repo.move_ref(ref, old, new)
        return f"{ref} {'moved past its checkout' if foreign else 'deleted'}"

    def _own_put_back(self, known: Fingerprint, now: Fingerprint) -> list[str]:
        """Make refs of the run again that are gone: nobody but an agent deletes one."""
        gone = sorted(known.own.keys() - now.own.keys()) if now.refs is not None else []
        for ref in gone:
            self.repo.move_ref(ref, known.own[ref], self.repo.read_ref(ref))
        return [f"{len(gone)} refs of the run deleted"] if gone else []

    def _free(self) -> Path:
        kept = self.paths.keep()
        return next(place for number in count(1) if not (place := kept / f"git-{number}").exists())

    def _ours(self) -> re.Pattern[str]:
        run_id = re.escape(self.paths.run_id)
        return re.compile(rf"refs/(branchline/|heads/feature/.*-{run_id}$|heads/integration/{run_id}$)")


@contextmanager
def watched(run: "Run", name: str, ended: Callable[[], bool] = lambda: False) -> Iterator[Watched]:
    """The guard's watch, if the run has one."""
    if run.guard is None:
        yield Watched(name)
        return
    with run.guard.watching(name, ended) as found:
        yield found


@contextmanager
def trusted(run: "Run") -> Iterator[None]:
    """What changes meanwhile is no agent's doing, if the run has a guard."""
    if run.guard is None:
        yield
        return
    with run.guard.trusting():
        yield


def tampering(found: Watched) -> Failure | None:
    """The failure of what has, or may have, tampered with the git directory."""
    if not found.put_back:
        return None
    what = ", ".join(dict.fromkeys(found.put_back))
    if found.certain:
        return Failure(f"it changed what is not its own: {what}; put back", "tampering", retryable=False)
    reason = f"while it worked, somebody changed what is not the agents': {what}; put back; it is to work again, alone"
    return Failure(reason, "tampering")
