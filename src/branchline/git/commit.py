"""Turn the files of a workspace into a tree, and keep all of them safe before the workspace goes.

Every file is looked at before git reads it (`screen`), in an index made fresh (flags set in the agent's own hide edits),
and what cannot be taken is left out and reported, never fatal.
"""

import os
import shutil
import stat
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from itertools import chain, count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ParamSpec, TypeVar

from branchline.errors import GitError
from branchline.git.command import Git, ObjectsGone, words
from branchline.git.folders import is_folder, let_us_in, unlock
from branchline.git.intake import MAX_CONTENT, Inspector, take_in
from branchline.git.objects import LINK, PLAIN, fields, index_lines, put, refused_by, staged
from branchline.git.repo import Repo
from branchline.git.screen import Refused, Screen, untouched

P = ParamSpec("P")
T = TypeVar("T")
MAX_FILE_BYTES = 50_000_000
MAX_SAVED_BYTES = 1 << 30  # a sparse file of a terabyte costs an agent nothing, and us hours to copy
MAX_SAVED_TOTAL = 4 << 30  # of new and ignored files; so do many files of less
MAX_FILES = 100_000

_UNLISTED = b"could not open directory"
_MOST_LOOKED_AT = 100_000  # ignored files
_MOST_IGNORED = 1000  # that are named: no more than a person reads
_MOST_FAILURES = 100  # names that git refuses and we did not foresee; past that it is not the names


def kept_from_gc(make: Callable[P, T]) -> Callable[P, T]:
    """Have a function that makes objects and then a ref for them called up to three times.

    `git gc --prune=now` takes objects that no ref names yet (git-gc(1), NOTES). A call may follow one that failed.
    """

    @wraps(make)
    def again(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(2):
            with suppress(ObjectsGone):
                return make(*args, **kwargs)
        return make(*args, **kwargs)

    return again


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The tree of a worktree's files, and what is not in it, sorted by path.

    `by_products`: how many new files were left out because a program made them on the side, by the line of a .gitignore
    that covers them. `ignored`: files that git ignores, of those that were asked for.
    """

    tree: str
    refused: tuple[Refused, ...] = ()
    by_products: tuple[tuple[str, int], ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Saved:
    """A commit that holds everything of a worktree, and the ref that keeps it."""

    ref: str
    commit: str
    refused: tuple[Refused, ...]


def snapshot(  # noqa: PLR0913 - keyword-only data
    git: Git,
    work_tree: Path,
    base_tree: str,
    *,
    scratch: Path,
    max_file_bytes: int | None = MAX_FILE_BYTES,
    max_files: int = MAX_FILES,
    include_ignored: bool = False,
    max_saved_bytes: int = MAX_SAVED_TOTAL,
    inspect: Inspector | None = None,
    skip: Iterable[str] = (),
    wanted: Callable[[str], bool] | None = None,
) -> Snapshot:
    """Return the tree of the files in `work_tree`, which began as `base_tree`.

    A path that is refused stays as it is in the base. Refused are: devices, pipes and sockets, files over
    `max_file_bytes`, files past `max_files` new ones, nested repositories and submodules, links that leave the tree,
    names that git cannot hold. With `include_ignored` (to save) ignored files, the files of nested repositories, and
    links wherever they lead are taken too, up to `max_saved_bytes` of files in all. What `inspect` objects to never
    becomes an object; new files of `skip` are passed over. `wanted`: whether to name a file that is ignored. `git`: see
    Workspaces.content; `scratch`: a folder for the index.
    Raises GitError if the folder is gone, or an agent put a link in its place.
    """
    if not is_folder(work_tree):
        raise GitError(f"{work_tree} is no folder any more: there is nothing to take")
    unlock(work_tree)
    with TemporaryDirectory(dir=scratch, prefix="index-") as name:
        folder = Path(name)
        base = git.at(work_tree, folder / "base-index")
        base.call("read-tree", base_tree)
        room = max_saved_bytes if include_ignored else None
        screen = Screen(base, folder, max_bytes=max_file_bytes, room=room)
        screen.tracked()
        passed_over = frozenset(skip)
        others = _others(base, screen, *(() if include_ignored else ("--exclude-standard",)))
        screen.untracked((path for path in others if path not in passed_over), max_files)
        screen.collide()
        fresh, aside = base.at(work_tree, folder / "index"), folder / "objects"
        shutil.copyfile(folder / "base-index", folder / "index")
        aside.mkdir()
        put(fresh, dict.fromkeys(screen.gone, ("0", "0" * len(base_tree))))
        screen.refused += _added(fresh.storing(aside), screen.taken, unfiltered=include_ignored)
        put(fresh, _as_it_was(fresh, screen, folder))
        ignored: tuple[str, ...] = ()
        if wanted:
            listed = fresh.call("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
            below = islice(chain.from_iterable(map(screen.files_of, fields(listed))), _MOST_LOOKED_AT)
            ignored = tuple(islice(filter(wanted, below), _MOST_IGNORED))
        screen.refused += take_in(fresh, aside, base_tree, inspect)
        # A partial clone need not have what nobody changed.
        tree = fresh.at(index=fresh.index).text("write-tree", "--missing-ok")
    refused = sorted(screen.refused, key=lambda one: (os.fsencode(one.path), one.line))
    return Snapshot(tree, tuple(refused), tuple(sorted(screen.by_products.items())), ignored)


def _as_it_was(git: Git, screen: Screen, folder: Path) -> dict[str, tuple[str, str]]:
    """The paths that nobody touched although git would store them differently now, with what the base has there."""
    kept = {path: screen.stored[path] for path in screen.remoded}
    left = {path for path in screen.taken if path in screen.stored and screen.stored[path][0] != LINK}
    if left:
        left -= {one.path for one in staged(git) if one.path in left and one.oid == screen.stored[one.path][1]}
    if left:
        same = untouched(git, folder / "base-index", folder, left)
        kept |= {path: screen.stored[path] for path in screen.taken if path in same}
    return kept


@kept_from_gc
def save(  # noqa: PLR0913 - keyword-only data
    repo: Repo,
    path: Path,
    *,
    ref: str,
    parents: Sequence[str],
    when: int,
    scratch: Path,
    inspect: Inspector | None = None,
    skip: Collection[str] = (),
) -> Saved:
    """Keep everything that is in a workspace, ignored files too, as a commit at `ref`, and return it.

    Its first parent is what the workspace began as. A ref that holds something else is never overwritten: `-2`, `-3` is
    appended. Saving the same again gives the same ref. What `inspect` objects to is left out, and new files of `skip`.
    """
    taken = snapshot(
        repo.content.at(path),
        path,
        repo.tree_of(parents[0]),
        scratch=scratch,
        max_file_bytes=MAX_CONTENT if inspect else MAX_SAVED_BYTES,
        max_files=sys.maxsize,
        include_ignored=True,
        inspect=inspect,
        skip=skip,
    )
    commit = repo.commit(taken.tree, parents, f"saved: {path.name}\n", when)
    content = (taken.tree, tuple(parents))
    for name in chain((ref,), (f"{ref}-{number}" for number in count(2))):
        there = repo.read_ref(name)
        if there is None:
            repo.move_ref(name, commit, None)
            return Saved(name, commit, taken.refused)
        if (repo.tree_of(there), repo.parents(there)) == content:
            return Saved(name, there, taken.refused)
    raise AssertionError("the numbers ended")


def _others(git: Git, screen: Screen, *standard: str) -> Iterator[str]:
    """List untracked files; git passes over a folder that it may not enter, so let us in and look again."""
    done = git.status_of("ls-files", "-z", "--others", *standard)
    if _UNLISTED in done.stderr:
        let_us_in(Path(git.work_tree or ""))
        done = git.status_of("ls-files", "-z", "--others", *standard)
    if _UNLISTED in done.stderr:
        screen.unlisted()
    if done.code != 0:
        raise GitError(f"git cannot list the files of {git.work_tree}: {words(done)}")
    return fields(done.stdout)


def _added(git: Git, paths: list[str], *, unfiltered: bool) -> Iterator[Refused]:
    """Add paths to the index, and yield those that git will not have. `unfiltered`: keep a file whose filter fails."""
    adding = ("update-index", "--add", "--replace", "-z")
    number = 0
    for path, done in refused_by(lambda some: git.status_of(*adding, "--stdin", stdin=some), paths):
        if unfiltered and stat.S_ISREG(os.lstat(os.path.join(git.work_tree or "", path)).st_mode):
            stored = git.status_of("hash-object", "-w", "--no-filters", "--", path)
            line = index_lines({path: (PLAIN, os.fsdecode(stored.stdout).strip())})
            kept = git.status_of(*adding, "--index-info", stdin=line) if stored.code == 0 else stored
            if kept.code == 0 and b"Ignoring path" not in kept.stderr:
                continue
        number += 1
        if number > _MOST_FAILURES:
            raise GitError(f"git cannot read the files of {git.work_tree}: {words(done)}")
        yield Refused(path, words(done))
