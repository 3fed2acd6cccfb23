"""The object store of a repository: trees, blobs and commits, read and made without a checkout."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from branchline.errors import GitError
from branchline.git.command import Git, ObjectsGone, failed
from branchline.process.temporary import temporary_folder


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a tree. `mode` is git's, as text ("100644"); `kind` is blob or commit (a submodule)."""

    mode: str
    kind: str
    oid: str
    path: str


@dataclass(frozen=True, slots=True)
class Change:
    """How one path differs between two trees. `status`: A(dded), M(odified), D(eleted), T(ype changed)."""

    path: str
    status: str
    old_mode: str
    new_mode: str
    old_oid: str
    new_oid: str


class ObjectStore:
    """Reads and writes objects. Trees, commits and blobs are object ids; a name of a revision is not taken."""

    def __init__(self, content: Git) -> None:
        """`content`: git on a quarantined git directory (see `command.quarantine`)."""
        self.content = content
        self._trees: dict[str, str] = {}  # what a commit holds never changes, and is asked again and again

    def tree_of(self, commit: str) -> str:
        """Return the tree of a commit."""
        if commit not in self._trees:
            wanted = f"{commit}^{{tree}}"
            done = self.content.status_of("rev-parse", "--verify", "--quiet", "--end-of-options", wanted)
            if done.code != 0:
                raise ObjectsGone(f"{commit} is missing, or its tree is", hint="git fsck --connectivity-only")
            self._trees[commit] = done.stdout.decode().strip()
        return self._trees[commit]

    def parents(self, commit: str) -> tuple[str, ...]:
        """Return the parents of a commit, first parent first."""
        return tuple(self.content.text("rev-parse", f"{commit}^@").split())

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Whether `descendant` holds `ancestor`; a commit holds itself."""
        done = self.content.status_of("merge-base", "--is-ancestor", ancestor, descendant)
        if done.code not in (0, 1):
            raise failed(f"cannot compare {ancestor} with {descendant}", done)
        return done.code == 0

    def entries(self, tree: str) -> list[Entry]:
        """Return every file of a tree, in git's order."""
        listing = self.content.call("ls-tree", "-r", "-z", "--full-tree", tree)
        found = []
        for line in fields(listing):
            meta, path = line.split("\t", 1)
            mode, kind, oid = meta.split()
            found.append(Entry(mode, kind, oid, path))
        return found

    def links(self, tree: str) -> list[tuple[str, str]]:
        """Return (path, what it says) of each symbolic link of a tree, in git's order."""
        listing = fields(self.content.call("ls-tree", "-r", "-z", "--full-tree", tree))
        found = [line.split("\t", 1) for line in listing if line.startswith("120000 ")]
        ids = [meta.split()[2] for meta, _ in found]
        said = dict(self.read_blobs(dict.fromkeys(ids))) if ids else {}
        return [(path, os.fsdecode(said[oid])) for oid, (_, path) in zip(ids, found, strict=True)]

    def changes(self, old: str, new: str) -> list[Change]:
        """Return the paths that differ between two trees, sorted by their bytes; a rename is a D and an A."""
        raw = fields(self.content.call("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", old, new))
        found = []
        for meta, path in zip(raw, raw, strict=True):
            old_mode, new_mode, old_oid, new_oid, status = meta.removeprefix(":").split()
            found.append(Change(path, status, old_mode, new_mode, old_oid, new_oid))
        return sorted(found, key=lambda change: os.fsencode(change.path))

    def patch(self, old: str, new: str) -> bytes:
        """Return the difference of two trees as a patch that `git apply` takes, binary files included."""
        plain = ("--no-renames", "--no-ext-diff", "--no-textconv", "--no-color")
        return self.content.call("diff-tree", "-r", "-p", "--binary", "--full-index", *plain, old, new)

    def diffstat(self, old: str, new: str) -> list[tuple[str, int | None, int | None]]:
        """Return (path, lines added, lines deleted) for each path that differs; None for a binary file."""
        plain = ("--no-renames", "--no-ext-diff", "--no-textconv")
        found = []
        for line in fields(self.content.call("diff-tree", "-r", "-z", "--numstat", *plain, old, new)):
            added, deleted, path = line.split("\t", 2)
            found.append((path, None if added == "-" else int(added), None if deleted == "-" else int(deleted)))
        return sorted(found, key=lambda row: os.fsencode(row[0]))

    def read_blob(self, oid: str) -> bytes:
        """Return the content of a blob."""
        return self.content.call("cat-file", "blob", oid)

    def read_blobs(self, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (oid, content) of many blobs, in one call to git; memory holds them all."""
        asked = "".join(f"{oid}\n" for oid in oids).encode()
        answer = memoryview(self.content.call("cat-file", "--batch", stdin=asked))
        at = 0
        while at < len(answer):
            end = at + bytes(answer[at : at + 200]).index(b"\n")
            header = bytes(answer[at:end]).split()
            if len(header) != 3:
                raise GitError(f"git cat-file has no object {header[0].decode(errors='replace')}")
            size = int(header[2])
            yield header[0].decode(), bytes(answer[end + 1 : end + 1 + size])
            at = end + size + 2

    def sizes(self, oids: Iterable[str]) -> dict[str, int]:
        """The size of each blob in bytes, its content unread; one that is missing is left out."""
        asked = "".join(f"{oid}\n" for oid in oids).encode()
        answer = self.content.call("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked).decode()
        answers = (line.split() for line in answer.splitlines())
        return {oid: int(size) for oid, size in answers if size != "missing"}

    def write_blob(self, data: bytes) -> str:
        """Store a blob and return its id."""
        return self.content.text("hash-object", "-w", "--stdin", stdin=data)

    def edit_tree(self, tree: str, edits: Mapping[str, tuple[str, str] | None]) -> str:
        """Return the tree with each path of `edits` set to (mode, blob), or removed where that is None.

        Raises GitError on a path that git does not take (`.git`, `..`).
        """
        nothing = "0" * len(tree)
        lines = [
            os.fsencode(f"{mode} {oid}\t{path}\0")
            for path, (mode, oid) in ((path, edit or ("0", nothing)) for path, edit in edits.items())
        ]
        with tempfile.TemporaryDirectory(prefix="branchline-index-", dir=temporary_folder()) as folder:
            git = self.content.at(index=Path(folder) / "index")
            git.call("read-tree", tree)
            done = git.status_of("update-index", "--replace", "-z", "--index-info", stdin=b"".join(lines))
            if done.code != 0 or b"Ignoring path" in done.stderr:  # git leaves such a path out and reports success
                raise failed(f"git cannot edit the tree {tree}", done)
            return git.text("write-tree", "--missing-ok")  # a partial clone need not have what is not edited

    def commit(self, tree: str, parents: Sequence[str], message: str, when: int) -> str:
        """Store a commit by Branchline at `when` (seconds since 1970, UTC): same arguments, same id."""
        date = f"@{when} +0000"
        ancestry = [word for parent in parents for word in ("-p", parent)]
        text = os.fsencode(message if message.endswith("\n") else message + "\n")
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        return self.content.text("commit-tree", tree, *ancestry, stdin=text, env=dates)


def fields(output: bytes) -> Iterator[str]:
    """Yield the NUL-terminated fields of git's output, decoded as file names are."""
    return iter(os.fsdecode(output).split("\0")[:-1])
