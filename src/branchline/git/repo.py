"""One repository: where it is, its refs, its checkouts. Objects: see `ObjectStore`."""

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

from branchline.core.refs import HEADS, owns
from branchline.errors import GitError, InvalidInput
from branchline.git.command import TRIES, Git, anywhere, failed, version, words
from branchline.git.filters import Wrap
from branchline.git.locks import release, seen
from branchline.git.objects import ObjectStore, fields
from branchline.git.user_git import gone, quarantine, read_user_git
from branchline.process.spawn import Captured
from branchline.process.temporary import temporary_folder

_MOVING = (
    threading.Lock()
)  # one git of ours moves refs at a time: a lock that is there before it starts is of none of them


class NotARepository(InvalidInput):
    """The path is not inside the work tree of a git repository."""


class RefMoved(GitError):
    """A ref was not where the caller last saw it; nothing was changed."""


class Repo(ObjectStore):
    """A repository, seen from one of its work trees.

    `root` is that work tree, `git_dir` its git directory, `common_dir` the one that all work trees share, `user` the
    user's git there, as it was when the repository was opened.
    """

    def __init__(self, root: Path, git_dir: Path, common_dir: Path) -> None:
        """Use `open`."""
        self.root = root
        self.git_dir = git_dir
        self.common_dir = common_dir
        self.refs = Git(git_dir)
        home = Path(tempfile.mkdtemp(prefix="branchline-git-", dir=temporary_folder()))
        weakref.finalize(self, shutil.rmtree, home, ignore_errors=True)
        self.user = read_user_git(root, git_dir, common_dir)
        super().__init__(quarantine(home, self.user))

    @classmethod
    def open(cls, path: Path) -> "Repo":
        """Open the repository that `path` is in. Raises NotARepository, and InvalidInput for one that cannot be used."""
        repo = cls.find(path)
        if repo.resolve("HEAD") is None:
            named = repo.refs.status_of("rev-parse", "--verify", "--quiet", "HEAD")
            if named.code == 0:
                raise gone(repo.user, [named.stdout.decode().strip()])
            hint = "git add -A && git commit -m 'first commit'"
            raise InvalidInput(f"{repo.root} has no commit to start from", hint=hint)
        return repo

    @classmethod
    def find(cls, path: Path) -> "Repo":
        """Like `open`, but a repository without a commit will do."""
        version()
        path = path.absolute()
        if not path.is_dir():
            raise NotARepository(f"{path} is not a folder")
        asked = ("--is-bare-repository", "--is-inside-work-tree", "--show-cdup", "--absolute-git-dir")
        done = anywhere("rev-parse", *asked, cwd=path)
        answers = done.stdout.decode(errors="surrogateescape").split("\n", 3)  # the last one may hold a newline
        if answers[0] == "true":
            message = f"{path} is a bare repository: it has no files to work on"
            named = further_work_trees(Path(answers[3].removesuffix("\n")))
            if there := [place for _, place in named if place.is_dir()]:
                message += f"; its work trees are {', '.join(map(str, there))}"
            raise InvalidInput(message, hint=f"cd {there[0]}" if there else f"git clone {path} work && cd work")
        if done.code != 0 and b"not a git repository" not in done.stderr:  # a format that this git does not know
            raise NotARepository(f"git cannot read the repository of {path}: {words(done)}", hint="git status")
        if done.code != 0 or answers[1] != "true":
            raise NotARepository(f"{path} is not in the work tree of a git repository", hint="git init")
        root, git_dir = (path / answers[2]).resolve(), Path(answers[3].removesuffix("\n"))
        common = git_dir / "commondir"
        shared = (git_dir / common.read_text().strip()).resolve() if common.exists() else git_dir
        return cls(root, git_dir, shared)

    def mark(self, marker: str) -> None:
        """Put a marker into the environment of every git, from now on (see process.spawn.sweep)."""
        self.refs, self.content = replace(self.refs, marker=marker), replace(self.content, marker=marker)

    def contain(self, wrap: Wrap | None) -> None:
        """Run the user's filters in what `wrap` makes of their commands, from now on."""
        if self.content.filters:
            self.content = replace(self.content, filters=replace(self.content.filters, wrap=wrap))

    def seen_from(self, checkout: Path) -> "Repo":
        """Return the repository as the user's git sees it in one of its checkouts. Raises GitError if it is none."""
        if checkout == self.root:
            return self
        with suppress(NotARepository):
            other = Repo.find(checkout)
            if other.common_dir == self.common_dir:
                other.mark(self.refs.marker)
                other.contain(self.content.filters.wrap if self.content.filters else None)
                return other
        raise GitError(f"{checkout} is not a checkout of {self.root}")

    def resolve(self, revision: str) -> str | None:
        """Return the id of the commit that `revision` names, or None."""
        asked = ("--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        done = self.refs.status_of("rev-parse", *asked)
        return done.stdout.decode().strip() if done.code == 0 else None

    def head_branch(self) -> str | None:
        """Return the name of the branch that is checked out (`main`), or None: HEAD is detached."""
        return self.refs.stands_for("HEAD").removeprefix(HEADS) or None

    def head_commit(self) -> str:
        """Return the commit that is checked out."""
        return self.refs.text("rev-parse", "--verify", "HEAD^{commit}")

    def is_shallow(self) -> bool:
        """Whether history is cut off (`git clone --depth`)."""
        return (self.common_dir / "shallow").exists()

    def read_ref(self, ref: str) -> str | None:
        """Return the object that a full ref name (`refs/...`) points at, or None."""
        done = self.refs.status_of("show-ref", "--verify", "--hash", "--", ref)
        return done.stdout.decode().strip() if done.code == 0 else None

    def list_refs(self, prefix: str, *, within: str = "") -> dict[str, str]:
        """Return {full name: object} of the refs at or below `prefix` (whole path components), sorted.

        `within`: only those whose commit this commit holds.
        """
        form = "--format=%(refname)%00%(objectname)%00"
        merged = (f"--merged={within}",) if within else ()
        listing = self.refs.call("for-each-ref", form, *merged, "--", prefix.rstrip("/"))
        flat = fields(listing.replace(b"\0\n", b"\0"))
        return dict(zip(flat, flat, strict=True))

    def move_ref(self, ref: str, new: str | None, expected: str | None) -> None:
        """Point `ref` at `new` (None: delete it) if it is at `expected` (None: it must not exist).

        A ref that is at `new` already is left alone, so a move may be repeated. Raises RefMoved, else GitError.
        """
        if new != expected or self.read_ref(ref) != new:
            self.move_refs({ref: (new, expected)})

    def move_refs(self, moves: Mapping[str, tuple[str | None, str | None]]) -> None:
        """Move every ref from what is expected to what is new, {ref: (new, expected)}, or none of them.

        Those that are at `new` already are left alone. Raises RefMoved, else GitError.
        """
        orders = []
        for ref, (new, expected) in moves.items():
            nothing = "0" * len(new or expected or "")
            orders.append(f"update {ref}\0{new or nothing}\0{expected or nothing}\0")
        order = "".join(orders).encode(errors="surrogateescape")
        new_ones = {ref: new or "" for ref, (new, _) in moves.items()}
        done = self._moved(new_ones, "-z", "--stdin", stdin=order)
        if done.code == 0:
            return
        found = {ref: self.read_ref(ref) for ref in moves}
        left = {ref: move for ref, move in moves.items() if found[ref] != move[0]}
        for ref, (_, expected) in left.items():
            if found[ref] != expected:
                at, wanted = found[ref] or "nothing", expected or "nothing"
                raise RefMoved(f"{ref} is at {at}, not at {wanted}: something else moved it")
        if len(left) == len(moves):
            raise GitError(f"cannot move {' and '.join(moves)}: {words(done)}")
        if left:
            self.move_refs(left)

    def put_ref(self, ref: str, new: str) -> None:
        """Point one of our own refs at `new`, wherever it was; others' refs are moved by `move_ref`. Raises GitError."""
        done = self._moved({ref: new}, ref, new)
        if done.code != 0:
            raise failed(f"cannot move {ref}", done)

    def _moved(self, refs: Mapping[str, str], *args: str, stdin: bytes = b"") -> Captured:
        """Have git move refs; what a killed git left in the way of that is taken away, and it is tried again."""
        folders = (self.root, self.common_dir, *(place for _, place in further_work_trees(self.common_dir)))
        heads = [one / "HEAD.lock" for one in (self.common_dir, self.git_dir)]
        shared = [*heads, self.common_dir / "packed-refs.lock"]
        own = {self.common_dir / f"{ref}.lock" for ref in refs if owns(self.refs.marker.partition("@")[0], ref)}
        locks = {**{self.common_dir / f"{ref}.lock": new for ref, new in refs.items()}, **dict.fromkeys(shared, "")}
        with _MOVING:
            if there := seen(own):
                release(there, folders)
            for _ in range(TRIES):
                before = seen(locks)
                done = self.refs.once("update-ref", "--no-deref", *args, stdin=stdin)
                if done.code >= 0:
                    break
                left = {lock: was for lock, was in seen(locks).items() if lock not in before}
                if not release(
                    {lock: was for lock, was in left.items() if was[1] in (b"", locks[lock].encode())}, folders
                ):
                    break
        return done

    def keep_ref(self, ref: str, new: str) -> None:
        """Like `put_ref`, but what one of our own refs held before stays, as `<ref>-kept-1`, `-kept-2`, ..."""
        old = self.read_ref(ref)
        if old not in {None, new}:
            kept = self.list_refs(ref.rpartition("/")[0])
            if old not in {oid for name, oid in kept.items() if name.startswith(f"{ref}-kept-")}:
                free = next(name for number in count(1) if (name := f"{ref}-kept-{number}") not in kept)
                self.move_ref(free, old, None)
        self.put_ref(ref, new)


def further_work_trees(common_dir: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (git directory, folder) of each work tree but the main one, there or not (gitrepository-layout(5))."""
    for file in sorted((common_dir / "worktrees").glob("*/gitdir")):
        said = os.fsdecode(file.read_bytes().rstrip(b"\n"))
        yield file.parent, Path(os.path.normpath(file.parent / said)).parent
