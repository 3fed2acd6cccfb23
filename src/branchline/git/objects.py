"""The object store of a repository: trees, blobs and commits, read and made without a checkout."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from branchline.errors import GitError, InvalidInput
from branchline.git.command import EMAIL, Git, ObjectsGone, failed
from branchline.process.spawn import Captured
from branchline.process.temporary import temporary
from branchline.views.format.text import printable

GITLINK, LINK, PLAIN, EXECUTABLE = "160000", "120000", "100644", "100755"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a tree or an index. `mode` is git's, as text ("100644"); `kind` is blob or commit (a submodule)."""

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

    def is_ours(self, commit: str) -> bool:
        """Whether Branchline has made a commit."""
        return self.content.text("log", "-1", "--format=%ce", commit, "--") == EMAIL

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Whether `descendant` holds `ancestor`; a commit holds itself."""
        return self.content.says("merge-base", "--is-ancestor", ancestor, descendant)

    def entries(self, tree: str) -> list[Entry]:
        """Return every file of a tree, or of a commit's, in git's order."""
        found = []
        for line in fields(self.content.call("ls-tree", "-r", "-z", "--full-tree", tree)):
            meta, path = line.split("\t", 1)
            mode, kind, oid = meta.split()
            found.append(Entry(mode, kind, oid, path))
        return found

    def links(self, tree: str) -> list[tuple[str, str]]:
        """Return (path, what it says) of each symbolic link of a tree, in git's order."""
        found = [entry for entry in self.entries(tree) if entry.mode == LINK]
        said = dict(self.read_blobs(dict.fromkeys(entry.oid for entry in found)))
        return [(entry.path, os.fsdecode(said[entry.oid])) for entry in found]

    def changes(self, old: str, new: str) -> list[Change]:
        """Return the paths that differ between two trees, sorted by their bytes; a rename is a D and an A."""
        raw = self.content.call("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", old, new)
        return sorted(raw_changes(raw), key=lambda change: os.fsencode(change.path))

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

    def standing_in(self, tree: str, values: Iterable[bytes]) -> set[bytes]:
        """Return those of the values, each on one line, that stand somewhere in the files of a tree."""
        asked = b"".join(value + b"\n" for value in values)
        if not asked:
            return set()
        plain = ("--text", "--no-textconv", "--no-color", "-h", "-o", "--fixed-strings", "-f", "-")
        return set(self.content.call("grep", *plain, tree, stdin=asked, ok=(0, 1)).splitlines())

    def read_blob(self, oid: str) -> bytes:
        """Return the content of a blob."""
        return self.content.call("cat-file", "blob", oid)

    def read_blobs(self, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (oid, content) of many blobs, in one call to git; memory holds them all."""
        return ((oid, data) for oid, _, data in self.read_many(oids))

    def read_many(self, oids: Iterable[str]) -> Iterator[tuple[str, str, bytes]]:
        """Yield (oid, kind, content) of objects, in one call to git; memory holds them all."""
        asked = by_line(oids)
        answer = memoryview(self.content.call("cat-file", "--batch", stdin=asked) if asked else b"")
        at = 0
        while at < len(answer):
            end = at + bytes(answer[at : at + 200]).index(b"\n")
            oid, *known = bytes(answer[at:end]).decode(errors="replace").split()
            if len(known) != 2:
                raise GitError(f"git cat-file has no object {oid}")
            at = end + int(known[1]) + 2
            yield oid, known[0], bytes(answer[end + 1 : at - 1])

    def look_up(self, oids: Iterable[str]) -> dict[str, tuple[str, int]]:
        """The kind of each object and its size in bytes, its content unread; one that is not here is `missing`."""
        answer = self.content.call("cat-file", "--batch-check", stdin=by_line(oids)).decode(errors="replace")
        answers = (line.split() for line in answer.splitlines())
        return {oid: (kind, int(size[0]) if size else 0) for oid, kind, *size in answers}

    def sizes(self, oids: Iterable[str]) -> dict[str, int]:
        """The size of each blob in bytes, its content unread; one that is missing is left out."""
        return {oid: size for oid, (kind, size) in self.look_up(oids).items() if kind != "missing"}

    def write_blob(self, data: bytes) -> str:
        """Store a blob and return its id."""
        return self.content.text("hash-object", "-w", "--stdin", stdin=data)

    def edit_tree(self, tree: str, edits: Mapping[str, tuple[str, str] | None]) -> str:
        """Return the tree with each path of `edits` set to (mode, blob), or removed where that is None.

        Raises GitError on a path that git does not take (`.git`, `..`).
        """
        lines = index_lines({path: edit or ("0", "0" * len(tree)) for path, edit in edits.items()})
        with scratch_index(self.content) as git:
            git.call("read-tree", tree)
            done = git.status_of("update-index", "--replace", "-z", "--index-info", stdin=lines)
            if done.code != 0 or b"Ignoring path" in done.stderr:  # git leaves such a path out and reports success
                raise failed(f"git cannot edit the tree {tree}", done)
            return git.text("write-tree", "--missing-ok")  # a partial clone need not have what is not edited

    def commit(self, tree: str, parents: Sequence[str], message: str, when: int) -> str:
        """Store a commit by Branchline at `when` (seconds since 1970, UTC): same arguments, same id.

        What could hide something in the message, or command a terminal, is written out.
        """
        date = f"@{when} +0000"
        ancestry = [word for parent in parents for word in ("-p", parent)]
        text = printable(message if message.endswith("\n") else message + "\n", keep="\n").encode()
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        return self.content.text("commit-tree", tree, *ancestry, stdin=text, env=dates)


def newest_commits(store: ObjectStore, commit: str, most: int) -> tuple[list[tuple[str, int]], bool]:
    """Return the newest commits that `commit` holds, merges left out, as (id, unix time), and whether that is all.

    A commit whose object is missing ends them.
    """
    options = ("--timestamp", "--no-merges", f"--max-count={most}", "--end-of-options", commit, "--")
    done = store.content.status_of("rev-list", *options)
    pairs = (line.split() for line in done.stdout.decode().splitlines())
    return [(found, int(when)) for when, found in pairs], done.code == 0


def time_of(store: ObjectStore, commit: str) -> int:
    """Return the time of a commit in unix seconds, 0 if it is missing."""
    done = store.content.status_of("rev-list", "--timestamp", "--no-walk", "--end-of-options", commit, "--")
    return int(done.stdout.split()[0]) if done.code == 0 else 0


def changed_files(store: ObjectStore, commits: Iterable[str]) -> tuple[dict[str, list[str]], bool]:
    """Return the files that each commit changed, against its parent, and whether that is all.

    A root commit and one that changed nothing have no files; a rename is both files. A tree that is missing ends them.
    """
    asked = "".join(f"{commit}\n" for commit in commits).encode()
    form = "--format=%x00%H"  # an empty field, which no file name is, stands before each commit
    done = store.content.status_of("diff-tree", "--stdin", "-r", "-z", "--name-only", "--no-renames", form, stdin=asked)
    found = {}
    for record in os.fsdecode(done.stdout).removeprefix("\0").split("\0\0"):
        commit, _, names = record.partition("\0\n")
        if names:
            found[commit] = names.removesuffix("\0").split("\0")
    return found, done.code == 0


def export(store: ObjectStore, commit: str, folder: Path) -> None:
    """Write every file of a commit into `folder`, which must not exist yet. Raises InvalidInput, GitError."""
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        what = f"cannot make {folder}: {error.strerror}; nothing was written"
        raise InvalidInput(what, hint="name a new folder") from error
    with scratch_index(store.content, folder.resolve()) as git:
        git.call("read-tree", commit)
        git.call("checkout-index", "--all", "--quiet")


def fields(output: bytes) -> Iterator[str]:
    """Yield the NUL-terminated fields of git's output, decoded as file names are."""
    return iter(os.fsdecode(output).split("\0")[:-1])


def by_line(names: Iterable[str]) -> bytes:
    """Return names of objects as git's commands read them from standard input."""
    return "".join(f"{name}\n" for name in names).encode()


def by_nul(paths: Iterable[str]) -> bytes:
    """Return paths as git's commands read them from standard input with `-z`."""
    return b"".join(os.fsencode(f"{path}\0") for path in paths)


def index_lines(entries: Mapping[str, tuple[str, str]]) -> bytes:
    """Return {path: (mode, blob)} as `update-index -z --index-info` reads it; mode 0 removes a path."""
    return by_nul(f"{mode} {oid}\t{path}" for path, (mode, oid) in entries.items())


def put(git: Git, entries: Mapping[str, tuple[str, str]]) -> None:
    """Set {path: (mode, blob)} in git's index; mode 0 removes a path."""
    if entries:
        # Without a work tree git does not look at files that are as young as the index, and runs no filter for them.
        git.at(index=git.index).call("update-index", "-z", "--replace", "--index-info", stdin=index_lines(entries))


def raw_changes(raw: bytes) -> Iterator[Change]:
    """Yield the changes that `--raw -z --no-renames --no-abbrev` prints."""
    listing = fields(raw)
    for meta, path in zip(listing, listing, strict=True):
        old_mode, new_mode, old_oid, new_oid, status = meta.removeprefix(":").split()
        yield Change(path, status, old_mode, new_mode, old_oid, new_oid)


def staged(git: Git) -> Iterator[Entry]:
    """Yield the files of git's index."""
    for line in fields(git.call("ls-files", "-z", "--stage")):
        meta, path = line.split("\t", 1)
        mode, oid, _ = meta.split()
        yield Entry(mode, "commit" if mode == GITLINK else "blob", oid, path)


def attributes(git: Git, paths: Iterable[str], *asked: str) -> Iterator[tuple[str, str]]:
    """Yield (path, value) for each path and each attribute that is asked for; options of `check-attr` come first."""
    answers = fields(git.call("check-attr", "-z", "--stdin", *asked, stdin=by_nul(paths)))
    return ((path, value) for path, _, value in zip(answers, answers, answers, strict=True))


def refused_by(give: Callable[[bytes], Captured], paths: Sequence[str]) -> Iterator[tuple[str, Captured]]:
    """Give git paths, and yield those that it refuses, with its answer: it fails for all when it fails for one."""
    waiting = [paths] if paths else []
    while waiting:
        some = waiting.pop()
        done = give(by_nul(some))
        if done.code != 0 or b"Ignoring path" in done.stderr:  # git leaves some out and reports success
            if len(some) == 1:
                yield some[0], done
            else:
                waiting += [some[: len(some) // 2], some[len(some) // 2 :]]


@contextmanager
def scratch_index(git: Git, work_tree: Path | None = None) -> Iterator[Git]:
    """The same git with another work tree, and with an empty index that is gone afterwards."""
    with temporary() as folder:
        yield git.at(work_tree, folder / "index")
