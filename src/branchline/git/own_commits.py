"""The commits that an agent made in its workspace, read without obeying anything that stands in its `.git`.

Names of commits are taken from its refs and reflogs as text; objects are read by a git of ours that is told to look
among the workspace's objects too. What comes in is a pack that git has checked object by object.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from branchline.core.refs import TAGS, branch_ref
from branchline.core.rules.linear import compiled
from branchline.errors import GitError
from branchline.git.command import words
from branchline.git.folders import files_below, is_folder, let_us_in, unlock
from branchline.git.objects import ObjectStore, by_line
from branchline.git.repo import Repo
from branchline.process.output import head

MOST_FILES = 2000  # refs and reflogs that are read
MOST_BYTES = 4 << 20  # of one of them
MOST_COMMITS = 10_000  # that an argument list holds
MOST_OBJECTS = 200_000  # that are looked through
_NAME = compiled(rb"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{40})(?![0-9a-f])")
_FOLDER, _LOOSE = compiled("[0-9a-f]{2}"), compiled("[0-9a-f]{38}|[0-9a-f]{62}")
_PACKED = compiled(r"pack-[0-9a-f]+\.(pack|idx)")


@dataclass(frozen=True, slots=True)
class OwnCommits:
    """Commits since `base`: the `tips` that no other of them leads to, and the `objects` that the user's repository lacks.

    They can be read while the workspace stands, at most until the end of `own_commits`.
    """

    base: str
    tips: tuple[str, ...]
    objects: tuple[str, ...]
    _store: ObjectStore

    def read(self, oids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (kind, content) of objects, in their order."""
        return ((kind, data) for _, kind, data in self._store.read_many(oids))

    def sizes(self) -> dict[str, int]:
        """The size of each object in bytes."""
        found = self._store.sizes(self.objects)
        if lost := set(self.objects).difference(found):
            raise GitError(f"the object {min(lost)} of the workspace cannot be read")
        return found

    def take_in(self, repo: Repo) -> None:
        """Make them objects of the user's repository. Raises GitError if one is not what its name says."""
        store = self._store.content
        pack = store.call("pack-objects", "-q", "--stdout", "--window=0", stdin=by_line(self.objects))
        repo.content.call("index-pack", "--stdin", "--strict", stdin=pack)

    def bundle(self, file: Path) -> None:
        """Write them to a file that `git fetch` reads; the branches `commit-1` and so on are the tips."""
        with TemporaryDirectory(dir=file.parent, prefix="bundle-") as folder:
            home, git = Path(folder), self._store.content
            (home / "refs").mkdir()
            for name in ("objects", "config"):
                (home / name).symlink_to(git.git_dir / name)
            (home / "HEAD").write_text(f"ref: {branch_ref('none')}\n")
            refs = "".join(f"{tip} {branch_ref(f'commit-{number}')}\n" for number, tip in enumerate(self.tips, start=1))
            (home / "packed-refs").write_text(f"# pack-refs with: sorted \n{refs}")
            made = replace(git, git_dir=home)
            done = made.status_of("bundle", "create", "-q", str(file), "--branches", f"^{self.base}")
            if done.code == 0:
                file.chmod(0o600)  # a secret is why these commits are not in the repository
        if done.code != 0:
            raise GitError(f"git cannot write {file}: {words(done)}")


@contextmanager
def own_commits(repo: Repo, workspace: Path, base: str, scratch: Path) -> Iterator[OwnCommits | None]:
    """What was committed in a workspace since `base`, amended, stashed and reset commits included; None for nothing.

    Raises GitError if some of it cannot be read.
    """
    git_dir = workspace / ".git"
    if is_folder(workspace):
        unlock(workspace)
    if not (is_folder(workspace) and is_folder(git_dir)):
        yield None
        return
    let_us_in(git_dir)
    with TemporaryDirectory(dir=scratch, prefix="commits-") as folder:
        ours, theirs = Path(folder, "ours"), Path(folder, "theirs")
        ours.mkdir()
        _link_objects(git_dir / "objects", theirs)
        yield _found(repo, workspace, base, ObjectStore(repo.content.storing(ours, theirs)))


def _found(repo: Repo, workspace: Path, base: str, store: ObjectStore) -> OwnCommits | None:
    git_dir = workspace / ".git"

    def ask(*args: str, stdin: Iterable[str] = ()) -> list[str]:
        return store.content.call(*args, stdin=by_line(stdin)).decode(errors="replace").splitlines()

    further = git_dir / "worktrees"
    # Every object that a ref or HEAD names, those of further worktrees too, and all that reflogs and ORIG_HEAD mention:
    # they do not keep it, because `git gc` may have removed it.
    places = [git_dir, *(sorted(filter(is_folder, further.iterdir())) if is_folder(further) else ())]
    packed = [line for line in _text(git_dir / "packed-refs").splitlines() if f" {TAGS}".encode() not in line]
    refs = _names([*(_text(one / "HEAD") for one in places), *map(_text, _files(git_dir / "refs")), *packed])
    logs = _names(_text(file) for one in places for file in (one / "ORIG_HEAD", *_files(one / "logs")))
    kinds = {oid: kind for oid, (kind, _) in store.look_up({**refs, **logs}).items()}
    if lost := next((oid for oid in refs if kinds[oid] == "missing"), ""):
        raise GitError(f"the commits of {workspace} cannot be read: {lost} is missing")
    since = set(
        ask("rev-list", "--stdin", stdin=[*(oid for oid, kind in kinds.items() if kind == "commit"), f"^{base}"])
    )
    commits = [one for one in kinds if one in since]
    if not commits:
        return None
    if len(commits) > MOST_COMMITS:
        raise GitError(f"{workspace} names {len(commits)} commits of its own, more than {MOST_COMMITS}")
    tips = tuple(sorted(ask("merge-base", "--independent", *commits)))
    there = sorted(oid for oid, (kind, _) in repo.look_up(commits).items() if kind == "commit")
    wanted = [*tips, *(f"^{one}" for one in (base, *there))]
    listed = ask("rev-list", "--objects", "--no-object-names", "--stdin", stdin=wanted)
    if len(listed) > MOST_OBJECTS:
        raise GitError(f"the commits of {workspace} have {len(listed)} objects, more than {MOST_OBJECTS}")
    return OwnCommits(base, tips, tuple(listed), store)


def head_of(workspace: Path) -> str | None:
    """The commit that HEAD of a workspace names, as far as plain files tell."""
    git_dir = workspace / ".git"
    if not is_folder(git_dir):
        return None
    said = _text(git_dir / "HEAD").strip()
    if not said.startswith(b"ref: "):
        return said.decode(errors="replace") or None
    ref = said.removeprefix(b"ref: ")
    loose = git_dir / os.fsdecode(ref)
    if b".." not in ref.split(b"/") and (at := _text(loose).strip()):
        return at.decode(errors="replace")
    packed = (line.split(b" ", 1) for line in _text(git_dir / "packed-refs").splitlines())
    return next((one[0].decode(errors="replace") for one in packed if one[1:] == [ref]), None)


def _names(texts: Iterable[bytes]) -> dict[str, None]:
    return {name.decode(): None for text in texts for name in _NAME.findall(text) if name.strip(b"0")}


def _link_objects(objects: Path, view: Path) -> None:
    """Make `view` an object folder with links to the objects of another, and nothing else of it.

    Git would wait for a pipe in their place for ever, and read the lists and graphs that an agent can forge.
    """
    (view / "pack").mkdir(parents=True)
    for folder in sorted(filter(is_folder, objects.iterdir())) if is_folder(objects) else ():
        expected = _PACKED if folder.name == "pack" else _LOOSE
        if folder.name == "pack" or _FOLDER.fullmatch(folder.name):
            (view / folder.name).mkdir(exist_ok=True)
            for entry in os.scandir(folder):
                if expected.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    (view / folder.name / entry.name).symlink_to(entry.path)


def _files(folder: Path) -> list[Path]:
    inside = files_below(folder) if is_folder(folder) else ()
    found = [folder / path for path in islice(inside, MOST_FILES + 1)]
    if len(found) > MOST_FILES:
        raise GitError(f"there are more than {MOST_FILES} files in {folder}")
    return sorted(found)


def _text(file: Path) -> bytes:
    return head(file, MOST_BYTES)
