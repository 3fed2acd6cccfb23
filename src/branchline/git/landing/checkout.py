"""The checkouts that belong to the user: look at one, and - the only change one ever sees - fast-forward it.

A fast-forward can be killed at any moment and called again. It holds the checkout's own `index.lock`, so no git of the
user's runs in between; what it wrote there tells a later call that the work left behind is ours to finish.
"""

import errno
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from branchline.core.refs import branch_ref
from branchline.errors import GitError
from branchline.git.command import TRIES, Git, as_user, words
from branchline.git.folders import files_below, is_folder
from branchline.git.objects import EXECUTABLE, Change, attributes, fields, staged
from branchline.git.repo import RefMoved, Repo
from branchline.git.screen import blob_id, untouched
from branchline.process.temporary import temporary

LOCK_SECONDS = 3.0
CLAIM = b"branchline fast-forward "  # what our lock of a checkout says, followed by the two commits


class CheckoutDirty(GitError):
    """A branch cannot be moved without touching something of the user's: files, or what git is at; nothing was changed."""


class Halfway(GitError):
    """The refs have moved, and not yet all files of their checkout; the same call again finishes the work."""


@dataclass(slots=True)
class _Move:
    """Of which branch, from which commit to which, what that changes, and all the refs that move: {ref: (new, old)}.

    `claim`: what our lock of the index says; `halfway`: the files may be in between, so that lock must outlive us if we fail;
    `moved`: the refs have.
    """

    ref: str
    old: str
    new: str
    refs: Mapping[str, tuple[str | None, str | None]]
    claim: bytes
    halfway: bool
    moved: bool
    changes: list[Change] = field(default_factory=list)


def is_dirty(repo: Repo, checkout: Path | None = None) -> bool:
    """Whether the user's git sees a change to a tracked file of a checkout (by default our own), staged or not."""
    return next(_status(repo.seen_from(checkout or repo.root).root), None) is not None


def fast_forward(repo: Repo, checkout: Path, branch: str, old: str, new: str, *, tag: str = "") -> None:
    """Move `branch`, checked out at `checkout`, and its files from commit `old` to its descendant `new`.

    `tag`: full name of a ref that is made at `new` in the same move. Tracked files must be clean and no untracked file
    in the way, else CheckoutDirty and nothing changed. Raises RefMoved when the branch is elsewhere, or the checkout on
    another one. Killed halfway, calling it again finishes the work.
    """
    ref, own = branch_ref(branch), repo.seen_from(checkout)
    refs: dict[str, tuple[str | None, str | None]] = {ref: (new, old), **({tag: (new, None)} if tag else {})}
    if not repo.is_ancestor(old, new):
        raise CheckoutDirty(f"{new} does not descend from {old}: {branch} cannot be fast-forwarded")
    at = repo.read_ref(ref)
    claim = CLAIM + f"{old} {new}\n".encode()
    begun = claim_of(own.git_dir) == claim
    if at == new and not begun:
        return
    if at not in (old, new):
        repo.move_ref(ref, new, old)  # raises RefMoved
    move = _Move(ref, old, new, refs, claim, halfway=begun, moved=begun and at == new)
    try:
        with _index_lock(own.git_dir, move):
            move.changes = repo.changes(old, new)
            _claimed(own, move)
    except (GitError, OSError) as error:
        if not move.moved:
            raise
        mended = f"rm -f {quote(str(own.git_dir / 'index.lock'))} && git -C {quote(str(checkout))} reset --hard"
        why = error.message if isinstance(error, GitError) else str(error)
        text = f"{checkout} is not all at {new[:12]} yet: {why}; once the cause is gone: {mended}"
        raise Halfway(text) from error


def _claimed(repo: Repo, move: _Move) -> None:
    """Move the refs and the files, with the index claimed. `repo`: as it is seen from the checkout."""
    if repo.refs.stands_for("HEAD") != move.ref:
        raise RefMoved(f"{repo.root} is not on {move.ref} any more")
    if not move.halfway:
        repo.move_ref(move.ref, move.old, move.old)  # raises RefMoved: who held the lock before us may have moved it
    index = repo.git_dir / "branchline-index"
    index.with_name("branchline-index.lock").unlink(missing_ok=True)
    shutil.copy2(repo.git_dir / "index", index)  # with its time: git compares it with those of the files
    git = repo.content.at(repo.root, index)
    for shared in repo.git_dir.glob("sharedindex.*"):  # the other half (`core.splitIndex`): git looks in its own folder
        with suppress(FileExistsError):
            (git.git_dir / shared.name).symlink_to(shared)
    try:
        if not git.says("diff-index", "--cached", "--quiet", move.new):
            _advance(repo, git, move)
            index.replace(repo.git_dir / "index")
    finally:
        index.unlink(missing_ok=True)
    repo.move_refs(move.refs)
    move.moved, move.halfway = True, False


def _advance(repo: Repo, git: Git, move: _Move) -> None:
    """Move the refs, then the files."""
    if move.halfway:
        _clear_our_own(git, move.changes)
    unread = _require_clean(git, move)
    _require_plain(git, move)
    repo.move_refs(move.refs)
    move.halfway = move.moved = True
    for path in unread:
        os.unlink(_in(git, path))
    for _ in range(TRIES):
        done = git.once("read-tree", "-m", "-u", move.old, move.new)
        if done.code >= 0:
            break
        _clear_our_own(git, move.changes)  # it was killed between two files
    if done.code == 0:
        return
    message = f"{git.work_tree} could not be fast-forwarded: {words(done)}"
    try:
        _require_clean(git, move)
    except CheckoutDirty as halfway:
        raise GitError(message) from halfway
    repo.move_refs({ref: (old, new) for ref, (new, old) in move.refs.items()})
    move.halfway = move.moved = False
    raise CheckoutDirty(message)


@contextmanager
def _index_lock(git_dir: Path, move: _Move) -> Iterator[None]:
    """Hold git's lock of the index, or take up that of a killed call for the same move."""
    lock = git_dir / "index.lock"
    draft = git_dir / f"branchline-lock-{move.new}"  # so that a killed call's is written again
    draft.write_bytes(move.claim)
    try:
        if not move.halfway:
            _take(draft, lock)
    except FileExistsError as taken:
        message = f"another git is at work in this checkout: {lock} exists"
        raise CheckoutDirty(message, hint=f"wait for it to end, or if none runs: rm {lock}") from taken
    finally:
        draft.unlink()
    try:
        yield
    finally:
        if not move.halfway:
            lock.unlink()


def _take(draft: Path, lock: Path) -> None:
    """Take the lock; another run that ships, or a quick `git status`, mostly gives it up soon. Raises FileExistsError.

    The whole file is put there at once, by a link. Without hard links (exFAT, some network disks) a kill in between
    leaves an empty lock, which git's users know.
    """
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            try:
                os.link(draft, lock)
            except OSError as error:
                if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EMLINK}:
                    raise
                with lock.open("xb") as file:
                    file.write(draft.read_bytes())
            return
        except FileExistsError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.02)


def claim_of(git_dir: Path) -> bytes:
    """What a fast-forward that is under way, or was killed, says of itself in a checkout's lock; empty without one."""
    lock = git_dir / "index.lock"
    said = lock.read_bytes() if lock.is_file() else b""
    return said if said.startswith(CLAIM) else b""


def _require_clean(git: Git, move: _Move) -> list[str]:
    """Raise CheckoutDirty unless only files that we may write are in the way of the move.

    Return those that git takes for changed and will not write over, although they are as they were checked out: it
    would store them differently now (CRLF files that `* text` came after).
    """
    if not git.says("diff-index", "--cached", "--quiet", "--ignore-submodules=dirty", move.old):
        raise _dirty(git, "it has staged changes")
    git.call("update-index", "-q", "--refresh", "--ignore-submodules", ok=(0, 1))
    moving = {change.path for change in move.changes}
    seen = [path for state, path in _status(git.work_tree or Path()) if state[1] != " "]  # what is staged: see above
    changed = [path for path in seen if path not in moving or os.path.lexists(_in(git, path))]
    as_it_was = _as_checked_out(git, changed) if changed else set()
    for path in changed:
        if path not in as_it_was:
            raise _dirty(git, f"{path} is changed")
    for line in fields(git.call("ls-files", "-z", "-v")):
        left_out = line.startswith("S ") and not os.path.lexists(_in(git, line[2:]))  # of a sparse checkout
        if not line.startswith("H ") and line[2:] in moving and not left_out:
            raise _dirty(git, f"{line[2:]} is hidden from git (assume-unchanged or skip-worktree)")
    deleted = {change.path for change in move.changes if change.status == "D"}
    for change in move.changes:
        if change.status == "A" and _in_the_way(git, change.path, deleted):
            raise _dirty(git, f"the untracked file {change.path} is in the way")
    return sorted(as_it_was & moving)


def _status(work_tree: Path) -> Iterator[tuple[str, str]]:
    """Yield (state, path) of each tracked file that the user's own git calls changed, in the index and in the tree.

    It alone knows what the user's settings and filters mean.
    """
    asked = ("--porcelain", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=dirty")
    done = as_user("-c", "core.fsmonitor=false", "status", *asked, cwd=work_tree)
    if done.code != 0:
        raise GitError(f"git status failed in {work_tree}: {words(done)}")
    return ((line[:2], line[3:]) for line in fields(done.stdout))


def _as_checked_out(git: Git, paths: list[str]) -> set[str]:
    """Those of the paths that hold what a checkout of the index writes."""
    raw, plain, wanted = set[str](), list[str](), set(paths)
    for one in staged(git):
        place = _in(git, one.path)
        if one.path in wanted and (one.mode == EXECUTABLE) == os.access(place, os.X_OK):
            (raw.add if blob_id(place, len(one.oid)) == one.oid else plain.append)(one.path)
    with temporary() as folder:
        return raw | (untouched(git, git.index or Path(), folder, plain) if plain else set())


def _require_plain(git: Git, move: _Move) -> None:
    """Raise CheckoutDirty if a filter fails that files to be written go through; one file of each filter is tried."""
    written = {change.path: change.new_oid for change in move.changes if change.status != "D"}
    samples = {value: path for path, value in attributes(git, written, "filter")}
    for name in samples.keys() & (git.filters.known.keys() if git.filters else set[str]()):
        done = git.status_of("cat-file", "--filters", f"--path={samples[name]}", written[samples[name]])
        if done.code != 0:
            own = f"git merge --ff-only {move.new[:12]}"
            raise _dirty(git, f"the filter {name} fails on {samples[name]}: {words(done)}", hint=own)


def _in_the_way(git: Git, path: str, deleted: set[str]) -> bool:
    for above in _above(path):
        place = _in(git, above)
        if os.path.lexists(place) and not is_folder(Path(place)):
            return above not in deleted
    place = _in(git, path)
    if is_folder(Path(place)):
        return not deleted.issuperset(f"{path}/{one}" for one in files_below(place))
    return os.path.lexists(place)


def _above(path: str) -> list[str]:
    """The folders that a path is in, from the top down."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _clear_our_own(git: Git, changes: list[Change]) -> None:
    """Remove what a killed call had written: files that hold a first part of what they are to hold."""
    for change in changes:
        place = _in(git, change.path)
        behind_a_link = any(os.path.islink(_in(git, above)) for above in _above(change.path))
        if change.status == "D" or behind_a_link or not os.path.lexists(place):
            continue
        if os.path.islink(place):
            found = os.fsencode(os.readlink(place))
        elif os.path.isfile(place):
            found = Path(place).read_bytes()
        else:
            continue
        if git.call("cat-file", "--filters", f"--path={change.path}", change.new_oid).startswith(found):
            os.unlink(place)
            with suppress(OSError):  # one that is empty now may stand where the move begins with a file
                for above in reversed(_above(change.path)):
                    os.rmdir(_in(git, above))


def _in(git: Git, path: str) -> str:
    return os.path.join(git.work_tree or "", path)


def _dirty(git: Git, why: str, *, hint: str = "commit, stash or move away what is in the way") -> CheckoutDirty:
    return CheckoutDirty(f"{git.work_tree} cannot be fast-forwarded: {why}", hint=hint)
