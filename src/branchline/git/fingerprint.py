"""What of a git directory can make a git do things: its configuration, hooks, attributes, borrowed objects, and refs.

An agent without a sandbox can write all of it. Taken before and after, a fingerprint says what it did, and holds what
is needed to put it back.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from branchline.git.command import Git, configured
from branchline.git.repo import Repo

FILES = (
    *("HEAD", "commondir", "config", "config.worktree", "info/attributes", "info/grafts", "info/sparse-checkout"),
    *("objects/info/alternates", "objects/info/http-alternates", "shallow"),
)
LARGEST = 1 << 20  # bytes of a file that is put back
_HARMLESS = re.compile(r"user\.(name|email)|branch\..+\.(remote|merge|rebase|description|pushremote)|gui\..*")
_ID = rb"([0-9a-f]{40}|[0-9a-f]{64})"
_HEAD = re.compile(rb"(ref: refs/\S+|" + _ID + rb")\n?")
_REF = re.compile(rb"(ref: \S+|" + _ID + rb")\s*")
_REMOTE = re.compile(r"remote\.(?P<name>.+)\.(url|fetch|pushurl|tagopt)")


@dataclass(frozen=True, slots=True)
class Part:
    """A file, as it was: its mode, and its content (of a link: where it leads)."""

    mode: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The parts by their path in the git directory, and the refs that are not the run's; None: they cannot be read.

    `own` are the refs of the run, which only grow; `packed` is the file of packed refs.
    """

    parts: Mapping[str, Part]
    refs: Mapping[str, str] | None
    packed: Part | None = None
    own: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """One word for all of it."""
        digest = hashlib.sha256()
        for name, part in sorted(self.parts.items()):
            digest.update(b"%s\0%o\0%d\0%s" % (os.fsencode(name), part.mode, len(part.content), part.content))
        for ref, oid in sorted((self.refs or {}).items()):
            digest.update(os.fsencode(f"{ref}\0{oid}\0"))
        return digest.hexdigest()[:16]


def take(repo: Repo, ours: re.Pattern[str]) -> Fingerprint:
    """The fingerprint as it is now; `ours` matches the refs of the run."""
    hooks = repo.common_dir / "hooks"
    names = (
        [f"hooks/{name}" for name in os.listdir(hooks) if not name.endswith(".sample")]
        if hooks.is_dir() and not hooks.is_symlink()
        else []
    )
    parts = {name: part for name in (*FILES, *sorted(names)) if (part := _part(repo.common_dir / name))}
    if hooks.is_symlink():
        parts["hooks"] = Part(stat.S_IFLNK, os.fsencode(os.readlink(hooks)))
    parts |= _registered(repo.common_dir / "worktrees")
    listed = repo.refs.status_of("for-each-ref", "--format=%(refname)%00%(objectname)")
    packed = _part(repo.common_dir / "packed-refs")
    if listed.code != 0 or listed.stderr:
        return Fingerprint(parts, None, packed)
    refs = dict(os.fsdecode(line).split("\0", 1) for line in listed.stdout.splitlines())
    own = {ref: oid for ref, oid in refs.items() if ours.match(ref)}
    return Fingerprint(parts, {ref: oid for ref, oid in refs.items() if ref not in own}, packed, own)


def _registered(folder: Path) -> dict[str, Part]:
    """Where worktrees are and whose: one that is damaged stops every git in the repository."""
    found: dict[str, Part] = {}
    for admin in sorted(folder.iterdir()) if folder.is_dir() else ():
        own = {f"worktrees/{admin.name}/{name}": _part(admin / name) for name in ("commondir", "gitdir")}
        if admin.is_dir():  # else it was removed meanwhile
            found |= {f"worktrees/{admin.name}": Part(stat.S_IFDIR, b"")}
            found |= {name: part for name, part in own.items() if part and part.content}
    return found


def _part(path: Path) -> Part | None:
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            return Part(stat.S_IFLNK, os.fsencode(os.readlink(path)))
        if stat.S_ISREG(found.st_mode):
            return Part(found.st_mode, path.read_bytes()[:LARGEST])
    except FileNotFoundError:
        return None
    except OSError as error:
        return Part(0, str(error.errno).encode())
    return Part(found.st_mode, b"")


def tampered(before: Fingerprint, after: Fingerprint) -> list[str]:
    """The parts that changed in a way that no honest work asks for."""
    names = sorted(before.parts.keys() | after.parts.keys())
    changed = [name for name in names if before.parts.get(name) != after.parts.get(name)]
    changed = [name for name in changed if not name.startswith("worktrees/") or _stood(name, before, after)]
    return [name for name in changed if not _harmless(name, before.parts.get(name), after.parts.get(name))]


def _stood(name: str, before: Fingerprint, after: Fingerprint) -> bool:
    """Whether a file belongs to a worktree that was and is registered; others come and go."""
    return name in before.parts and name.count("/") > 1 and name.rpartition("/")[0] in after.parts


def _harmless(name: str, before: Part | None, after: Part | None) -> bool:
    if name == "HEAD":  # the user may go to another branch
        return after is not None and bool(_HEAD.fullmatch(after.content))
    return name == "config" and _same_power(before, after)


def _same_power(before: Part | None, after: Part | None) -> bool:
    """Whether a configuration changed only in who the user is, what a branch follows, or new remotes."""
    old, new = (None if part is None else configured(part.content) for part in (before, after))
    if old is None or new is None:
        return False
    known = {match["name"] for name, _ in old if (match := _REMOTE.fullmatch(name))}
    for name, value in set(old) ^ set(new):
        remote = _REMOTE.fullmatch(name)
        fresh = remote is not None and remote["name"] not in known and "::" not in value
        if not (fresh or _HARMLESS.fullmatch(name)):
            return False
    return True


def as_it_was(
    before: Fingerprint, after: Fingerprint, parts: Iterable[str], refs: Mapping[str, str | None]
) -> Fingerprint:
    """The later fingerprint with some parts as in the earlier one, and some refs where they were (None: not there)."""
    mixed = {**after.parts, **{name: before.parts[name] for name in parts if name in before.parts}}
    for name in set(parts) - before.parts.keys():
        mixed.pop(name, None)
    found = dict(before.refs or {}) if after.refs is None else {**after.refs, **refs}
    known = {ref: oid for ref, oid in found.items() if oid is not None}
    packed, own = (before.packed, before.own) if after.refs is None else (after.packed, {**before.own, **after.own})
    return Fingerprint(mixed, None if before.refs is None else known, packed, own)


def put_back(repo: Repo, before: Fingerprint, names: Sequence[str], kept: Path) -> None:
    """Make parts what they were; what stood in their place moves to the folder `kept`."""
    for name in sorted(names):
        place, part = repo.common_dir / name, before.parts.get(name)
        if os.path.lexists(place):
            aside = kept / name
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.rename(place, aside) if part is None else aside.write_bytes((_part(place) or part).content)
        if part is not None:
            _write(place, part)


def _write(place: Path, part: Part) -> None:
    draft = place.with_name(f"{place.name}.branchline")
    draft.unlink(missing_ok=True)
    if stat.S_ISLNK(part.mode):
        draft.symlink_to(os.fsdecode(part.content))
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(part.content)
        draft.chmod(stat.S_IMODE(part.mode))
    if place.is_dir() and not place.is_symlink():
        place.rename(place.with_name(f"{place.name}.branchline-found"))
    draft.replace(place)


def mend_refs(repo: Repo, before: Fingerprint, kept: Path) -> None:
    """Make refs that no git can read what they were; what stood in their place moves to the folder `kept`."""
    for place in sorted((repo.common_dir / "refs").rglob("*")):
        if not place.is_dir() and not (place.is_file() and _REF.fullmatch(place.read_bytes()[:LARGEST])):
            aside = kept / place.relative_to(repo.common_dir)
            aside.parent.mkdir(parents=True, exist_ok=True)
            place.rename(aside)
    if repo.refs.status_of("for-each-ref").code != 0:
        only = Fingerprint({"packed-refs": before.packed} if before.packed else {}, None)
        put_back(repo, only, ["packed-refs"], kept)
    for ref, oid in {**(before.refs or {}), **before.own}.items():
        if repo.read_ref(ref) is None:
            repo.put_ref(ref, oid)


def moved_refs(before: Fingerprint, after: Fingerprint) -> Iterator[tuple[str, str | None, str | None]]:
    """(ref, where it was, where it is) of each ref that changed; None: it was not there."""
    if before.refs is None or after.refs is None:
        return
    for ref in sorted(before.refs.keys() | after.refs.keys()):
        old, new = before.refs.get(ref), after.refs.get(ref)
        if old != new:
            yield ref, old, new


def known_to_checkout(repo: Repo, oid: str) -> bool:
    """Whether the checkout's own HEAD has ever been at a commit: every git that works there writes that down."""
    log = repo.git_dir / "logs" / "HEAD"
    return not log.is_file() or any(oid.encode() in line.split(b" ", 2)[:2] for line in log.read_bytes().splitlines())


def checked_out(repo: Repo) -> str | None:
    """The full name of the branch that the user has checked out; None: HEAD is detached."""
    done = Git(repo.git_dir, marker=repo.refs.marker).status_of("symbolic-ref", "--quiet", "HEAD")
    return os.fsdecode(done.stdout).strip() or None
