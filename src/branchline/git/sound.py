"""Objects read and hashed: whether each is what its name says, and is there with all that it leads to."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from branchline.core.rules.linear import compiled
from branchline.git.objects import GITLINK, ObjectStore, by_line

BATCH = 32 << 20  # bytes that are read at once
LARGE = 32 << 20  # bytes; a larger object is hashed by git, in pieces
MOST_DEATHS = 50  # of gits that met an object that they could not read
MOST_COMMITS = 20_000
_HEADER = compiled(rb"(?m)^(tree|parent) ([0-9a-f]{40,64})\n")


@dataclass(slots=True)
class Soundness:
    """`damaged`: why, by object; `unread`: how many objects were left out, and their bytes, because they are too much."""

    damaged: dict[str, str] = field(default_factory=dict)
    unread: int = 0
    unread_bytes: int = 0
    read: int = 0
    promised: bool = False
    deaths: int = 0


def soundness(
    store: ObjectStore, own: Iterable[str], others: Iterable[str], *, most_bytes: int, promised: bool = False
) -> Soundness:
    """Read all that `own` objects lead to, and hash it; of what `others` lead to, blobs of no more than `most_bytes`.

    The parents of a commit are followed as far as `others`, whose own parents are not read. `promised`: in a partial
    clone some of what `others` lead to may be elsewhere.
    """
    found, ends, seen = Soundness(promised=promised), set(others), set[str]()
    theirs = _walked(store, found, ends, ends, seen)
    ours = _walked(store, found, own, ends, seen)
    found.promised = False
    _hash(store, found, ours, None)
    found.promised = promised
    _hash(store, found, theirs, most_bytes)
    return found


def _walked(
    store: ObjectStore, found: Soundness, roots: Iterable[str], ends: Collection[str], seen: set[str]
) -> dict[str, tuple[str, int]]:
    """Read commits, tags and trees, and return the blobs that they lead to, with kind and size; `ends` lead to nothing older."""
    blobs: dict[str, tuple[str, int]] = {}
    level, commits = [oid for oid in dict.fromkeys(roots) if oid not in seen], 0
    seen.update(level)
    while level:
        known = _looked_up(store, level)
        inner = [oid for oid in level if known[oid][0] not in {"blob", "missing"}]
        blobs.update((oid, about) for oid, about in known.items() if about[0] in {"blob", "missing"})
        after: list[str] = []
        for oid, kind, data in _contents(store, found, inner, known):
            if kind == "tree":
                after += _entries(data, len(oid) // 2)
                continue
            commits += kind == "commit"
            for name, link in _HEADER.findall(data[: data.find(b"\n\n") + 1]):
                if name == b"tree" or (oid not in ends and commits < MOST_COMMITS):
                    after.append(link.decode())
            if kind == "tag":
                after.append(data[7 : 7 + len(oid)].decode(errors="replace"))
        level = list(dict.fromkeys(oid for oid in after if oid not in seen))
        seen.update(level)
    return blobs


def _looked_up(store: ObjectStore, oids: list[str]) -> dict[str, tuple[str, int]]:
    """The kind and size of each; `missing` also if git dies at it."""
    answers = (line.split() for line in answered(store, oids))
    return {oid: (about[1], int(about[2]) if about[2:] else 0) for oid, about in zip(oids, answers, strict=True)}


def answered(store: ObjectStore, names: Sequence[str], form: str = "") -> list[str]:
    """What git says of each object in one line; `missing` also of one at which it dies."""
    said = list[str]()
    while left := names[len(said) :]:
        done = store.content.status_of("cat-file", f"--batch-check{form}", stdin=by_line(left))
        lines = done.stdout.decode(errors="replace").splitlines()
        said += lines
        if len(lines) < len(left):
            said.append(f"{left[len(lines)]} missing")
    return said


def _hash(store: ObjectStore, found: Soundness, known: dict[str, tuple[str, int]], most_bytes: int | None) -> None:
    """Read blobs, as many as their bytes allow."""
    total, batch, size = 0, list[str](), 0
    for oid, (_, length) in known.items():
        total += length
        if most_bytes is not None and total > most_bytes:
            found.unread, found.unread_bytes = found.unread + 1, found.unread_bytes + length
            continue
        batch.append(oid)
        size += length
        if size > BATCH:
            _read(store, found, batch, known)
            batch, size = [], 0
    _read(store, found, batch, known)


def _read(store: ObjectStore, found: Soundness, oids: Iterable[str], known: dict[str, tuple[str, int]]) -> None:
    for _ in _contents(store, found, oids, known):
        pass


def _contents(
    store: ObjectStore, found: Soundness, oids: Iterable[str], known: dict[str, tuple[str, int]]
) -> Iterator[tuple[str, str, bytes]]:
    """Yield (oid, kind, content) of each object that is what its name says; what is wrong with the others is noted."""
    small = []
    for oid in oids:
        kind, size = known[oid]
        if kind == "missing" and found.promised:
            found.unread += 1
        elif kind == "missing":
            found.damaged[oid] = "is gone, or cannot be read"
        elif size > LARGE:
            found.read += 1
            if store.content.status_of("rev-list", "--objects", "--verify-objects", oid).code != 0:
                found.damaged[oid] = "is not what its name says"
        else:
            small.append(oid)
    while small:
        answered = 0
        for oid, kind, data in _batch(store, small):
            answered += 1
            found.read += 1
            made = hashlib.new("sha1" if len(oid) == 40 else "sha256", b"%s %d\0" % (kind.encode(), len(data)))
            made.update(data)
            if made.hexdigest() == oid:
                yield oid, kind, data
            else:
                found.damaged[oid] = "is not what its name says"
        if answered < len(small):
            found.damaged[small[answered]] = "cannot be read"
            found.deaths += 1
            if found.deaths > MOST_DEATHS:
                found.unread += len(small) - answered - 1
                return
        small = small[answered + 1 :]


def _batch(store: ObjectStore, oids: list[str]) -> Iterator[tuple[str, str, bytes]]:
    """Yield (oid, kind, content) as far as git can read them: at one that it cannot, it dies."""
    answer = memoryview(store.content.status_of("cat-file", "--batch", stdin=by_line(oids)).stdout)
    at = 0
    while at < len(answer):
        head, line, _ = bytes(answer[at : at + 200]).partition(b"\n")
        oid, *about = head.decode(errors="replace").split()
        at += len(head) + 1
        if not line or len(about) != 2 or at + int(about[1]) + 1 > len(answer):
            return
        end = at + int(about[1])
        yield oid, about[0], bytes(answer[at:end])
        at = end + 1


def _entries(data: bytes, width: int) -> Iterator[str]:
    """The trees and blobs of a tree; a submodule's commit is of another repository."""
    at = 0
    while (end := data.find(b"\0", at)) >= 0:
        mode = data[at : data.find(b" ", at)]
        at = end + 1 + width
        if mode != GITLINK.encode():
            yield data[end + 1 : at].hex()
