"""Objects that an agent's own git has put into the repository: looked at, and taken out again if they hold a secret.

An agent that may write the repository adds objects by `git add`, commits and stashes, past all that we look through.
Taken out are only loose ones that nothing of the user's leads to; they move to a folder, from which git can read them
(GIT_ALTERNATE_OBJECT_DIRECTORIES).
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from branchline.git.command import Git
from branchline.git.repo import Repo

_AT_ONCE = 32_000_000  # bytes in memory
_LOOSE = re.compile(r"[0-9a-f]{38}(?:[0-9a-f]{24})?")
_LARGEST = 64_000_000  # bytes of an object in memory
_ID = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True)
class Stray:
    """An object, its kind (blob, tree, commit, tag; empty if it cannot be read) and its content."""

    oid: str
    kind: str
    data: bytes

    @property
    def genuine(self) -> bool:
        """Whether it is what its name says: git itself does not look when it reads one."""
        digest = hashlib.sha1 if len(self.oid) == 40 else hashlib.sha256
        return digest(b"%s %d\0%s" % (self.kind.encode(), len(self.data), self.data)).hexdigest() == self.oid


def loose_since(repo: Repo, since: int) -> dict[str, int]:
    """The loose objects that came or changed after `since`, and when, in nanoseconds by the file system's clock."""
    found: dict[str, int] = {}
    for folder in os.scandir(repo.common_dir / "objects"):
        if len(folder.name) == 2 and folder.is_dir(follow_symlinks=False):
            found |= {folder.name + one.name: at for one in os.scandir(folder.path) if (at := _changed(one)) >= since}
    return dict(sorted(found.items()))


def _changed(entry: os.DirEntry[str]) -> int:
    """When an object's file changed: by the one time that an agent cannot set. 0 for what is none."""
    try:
        return entry.stat(follow_symlinks=False).st_ctime_ns if _LOOSE.fullmatch(entry.name) else 0
    except FileNotFoundError:
        return 0


def read_strays(repo: Repo, oids: Sequence[str]) -> Iterator[Stray]:
    """The objects, some at a time. One that is too large to look at counts as one that cannot be read."""
    asked = "".join(f"{oid}\n" for oid in oids).encode()
    sizes = {}
    for line in repo.content.status_of("cat-file", "--batch-check", stdin=asked).stdout.decode().splitlines():
        oid, *told = line.split()
        sizes[oid] = int(told[1]) if len(told) == 2 else _LARGEST + 1
    group: list[str] = []
    room = _AT_ONCE
    for oid in oids:
        if sizes.get(oid, _LARGEST + 1) > _LARGEST:
            yield Stray(oid, "", b"")
            continue
        if sizes[oid] > room:
            yield from _read(repo, group)
            group, room = [], _AT_ONCE
        group.append(oid)
        room -= sizes[oid]
    yield from _read(repo, group)


def _read(repo: Repo, oids: list[str]) -> Iterator[Stray]:
    """One process for all; at a damaged object it ends, so the others are asked for without it."""
    left = oids
    while left:
        answer = repo.content.status_of(
            "cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in left).encode()
        ).stdout
        read, at = 0, 0
        while (end := answer.find(b"\n", at)) >= 0 and len(header := answer[at:end].split()) == 3:
            start, at = end + 1, end + 2 + int(header[2])
            if at > len(answer):
                break
            yield Stray(left[read], header[1].decode(), answer[start : at - 1])
            read += 1
        if read < len(left):
            yield Stray(left[read], "", b"")
        left = left[read + 1 :]


def those_leading_to(strays: Iterable[Stray], tainted: set[str]) -> set[str]:
    """The tainted ones, and every tree, commit and tag among the strays that cannot be whole without them."""
    found, others = set(tainted), [one for one in strays if one.kind != "blob"]
    while more := {one.oid for one in others if one.oid not in found and _names_any(one, found)}:
        found |= more
    return found


def _names_any(stray: Stray, oids: set[str]) -> bool:
    if stray.kind == "tree":
        return any(bytes.fromhex(oid) in stray.data for oid in oids)
    return any(name.decode() in oids for name in _ID.findall(stray.data.partition(b"\n\n")[0]))


def held_by_others(repo: Repo, base: str, ours: re.Pattern[str]) -> set[str]:
    """Objects beyond `base` that refs which are not `ours`, the user's HEAD, reflog or index lead to."""
    refs = [oid for ref, oid in repo.list_refs("refs").items() if not ours.match(ref)]
    log = repo.common_dir / "logs" / "HEAD"
    logged = {word.decode() for word in _ID.findall(log.read_bytes())} if log.is_file() else set[str]()
    tips = "".join(f"{oid}\n" for oid in {*refs, *logged, repo.head_commit()} - {"0" * len(base)})
    args = ("rev-list", "--objects", "--ignore-missing", "--stdin", "--not", base)
    reached = {line.split()[0].decode() for line in repo.content.call(*args, stdin=tips.encode()).splitlines()}
    index = Git(repo.git_dir, marker=repo.refs.marker).call("ls-files", "-z", "--stage")
    return reached | {line.split()[1].decode() for line in index.split(b"\0")[:-1]}


def take_out(repo: Repo, oids: Iterable[str], folder: Path) -> list[str]:
    """Move loose objects into `folder`, which is laid out as git's own; return those that were there."""
    taken = []
    for oid in oids:
        source, target = (place / oid[:2] / oid[2:] for place in (repo.common_dir / "objects", folder))
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            data = source.read_bytes()
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
                os.fsync(file.fileno())
            source.unlink()
            taken.append(oid)
    return taken
