"""The commits that an agent made in its workspace, read without obeying anything that stands in its `.git`.

Names of commits are taken from its refs and reflogs as text; objects are read by a git of ours that is told to look
among the workspace's objects too. What comes in is a pack that git has checked object by object.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from branchline.core.refs import TAGS, branch_ref
from branchline.errors import GitError
from branchline.git.command import Git, words
from branchline.git.folders import is_folder, let_us_in, unlock
from branchline.git.repo import Repo
from branchline.process.spawn import Captured

MOST_FILES = 2000  # refs and reflogs that are read
MOST_BYTES = 4 << 20  # of one of them
MOST_COMMITS = 10_000  # that an argument list holds
MOST_OBJECTS = 200_000  # that are looked through
_NAME = re.compile(rb"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{40})(?![0-9a-f])")
_FOLDER, _LOOSE = re.compile("[0-9a-f]{2}"), re.compile("[0-9a-f]{38}|[0-9a-f]{62}")
_PACKED = re.compile(r"pack-[0-9a-f]+\.(pack|idx)")


@dataclass(frozen=True, slots=True)
class OwnCommits:
    """Commits since `base`: the `tips` that no other of them leads to, and the `objects` that the user's repository lacks.

    They can be read while the workspace stands, at most until the end of `own_commits`.
    """

    base: str
    tips: tuple[str, ...]
    objects: tuple[str, ...]
    _git: Git
    _env: dict[str, str]

    def read(self, oids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (kind, content) of objects, in their order."""
        answer = memoryview(self._call("cat-file", "--batch", stdin=_lines(oids)).stdout)
        at = 0
        for _ in oids:
            end = at + bytes(answer[at : at + 200]).index(b"\n")
            _, kind, size = _three(bytes(answer[at:end]))
            at = end + int(size) + 2
            yield kind, bytes(answer[end + 1 : at - 1])

    def sizes(self) -> dict[str, int]:
        """The size of each object in bytes."""
        lines = self._call("cat-file", "--batch-check", stdin=_lines(self.objects)).stdout.splitlines()
        return {name: int(size) for name, _, size in map(_three, lines)}

    def take_in(self, repo: Repo) -> None:
        """Make them objects of the user's repository. Raises GitError if one is not what its name says."""
        pack = self._call("pack-objects", "-q", "--stdout", "--window=0", stdin=_lines(self.objects)).stdout
        repo.content.call("index-pack", "--stdin", "--strict", stdin=pack)

    def bundle(self, file: Path) -> None:
        """Write them to a file that `git fetch` reads; the branches `commit-1` and so on are the tips."""
        with TemporaryDirectory(dir=file.parent, prefix="bundle-") as folder:
            home = Path(folder)
            (home / "refs").mkdir()
            for name, link in (("objects", self._git.git_dir / "objects"), ("config", self._git.git_dir / "config")):
                (home / name).symlink_to(link)
            (home / "HEAD").write_text(f"ref: {branch_ref('none')}\n")
            refs = "".join(f"{tip} {branch_ref(f'commit-{number}')}\n" for number, tip in enumerate(self.tips, start=1))
            (home / "packed-refs").write_text(f"# pack-refs with: sorted \n{refs}")
            done = Git(home).status_of(
                "bundle", "create", "-q", str(file), "--branches", f"^{self.base}", env=self._env
            )
            if done.code == 0:
                file.chmod(0o600)  # a secret is why these commits are not in the repository
        if done.code != 0:
            raise GitError(f"git cannot write {file}: {words(done)}")

    def _call(self, *args: str, stdin: bytes) -> Captured:
        done = self._git.status_of(*args, stdin=stdin, env=self._env)
        if done.code != 0:
            raise GitError(f"the commits of the workspace cannot be read: {words(done)}")
        return done


@contextmanager
def own_commits(repo: Repo, workspace: Path, base: str, scratch: Path) -> Iterator[OwnCommits | None]:
    """What was committed in a workspace since `base`, amended, stashed and reset commits included; None for nothing.

    Raises GitError if some of it cannot be read.
    """
    git_dir = workspace / ".git"
    if not is_folder(workspace):
        yield None
        return
    unlock(workspace)
    if not is_folder(git_dir):
        yield None
        return
    let_us_in(git_dir)
    with TemporaryDirectory(dir=scratch, prefix="commits-") as folder:
        ours, theirs = Path(folder, "ours"), Path(folder, "theirs")
        ours.mkdir()
        _link_objects(git_dir / "objects", theirs)
        shared = (repo.content.git_dir / "objects", theirs)
        env = {
            "GIT_OBJECT_DIRECTORY": str(ours),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(map(_quoted, shared)),
        }
        yield _found(repo, workspace, base, env)


def _found(repo: Repo, workspace: Path, base: str, env: dict[str, str]) -> OwnCommits | None:
    git, git_dir = repo.content, workspace / ".git"

    def ask(*args: str, stdin: bytes = b"") -> list[str]:
        done = git.status_of(*args, stdin=stdin, env=env)
        if done.code != 0:
            raise GitError(f"the commits of {workspace} cannot be read: {words(done)}")
        return done.stdout.decode(errors="replace").splitlines()

    refs, mentioned = _named_by_refs(git_dir), _named_by_logs(git_dir)
    kinds = ask("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=_lines({**refs, **mentioned}))
    if lost := next((line.split()[0] for line in kinds if line.endswith(" missing") and line.split()[0] in refs), ""):
        raise GitError(f"the commits of {workspace} cannot be read: {lost} is missing")
    commits = [line.split()[0] for line in kinds if line.endswith(" commit")]
    since = set(ask("rev-list", "--stdin", stdin=_lines([*commits, f"^{base}"])))
    commits = [one for one in commits if one in since]
    if not commits:
        return None
    if len(commits) > MOST_COMMITS:
        raise GitError(f"{workspace} names {len(commits)} commits of its own, more than {MOST_COMMITS}")
    tips = tuple(sorted(ask("merge-base", "--independent", *commits)))
    wanted = [*tips, *(f"^{one}" for one in (base, *sorted(_there(repo, commits))))]
    listed = ask("rev-list", "--objects", "--no-object-names", "--stdin", stdin=_lines(wanted))
    if len(listed) > MOST_OBJECTS:
        raise GitError(f"the commits of {workspace} have {len(listed)} objects, more than {MOST_OBJECTS}")
    return OwnCommits(base, tips, tuple(listed), git, env)


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


def _named_by_refs(git_dir: Path) -> dict[str, None]:
    """Every object that a ref or HEAD of the workspace names, those of further worktrees too."""
    heads = [one / "HEAD" for one in (git_dir, *_worktrees(git_dir))]
    packed = [line for line in _text(git_dir / "packed-refs").splitlines() if f" {TAGS}".encode() not in line]
    return _names([*map(_text, [*heads, *_files(git_dir / "refs")]), *packed])


def _named_by_logs(git_dir: Path) -> dict[str, None]:
    """Every object that a reflog or ORIG_HEAD mentions. They do not keep it: `git gc` may have removed it."""
    logs = [file for one in (git_dir, *_worktrees(git_dir)) for file in (one / "ORIG_HEAD", *_files(one / "logs"))]
    return _names(map(_text, logs))


def _worktrees(git_dir: Path) -> list[Path]:
    folder = git_dir / "worktrees"
    return sorted(filter(is_folder, folder.iterdir())) if is_folder(folder) else []


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
    walk = os.walk(folder) if is_folder(folder) else ()
    found = list(islice((Path(inside, name) for inside, _, names in walk for name in names), MOST_FILES + 1))
    if len(found) > MOST_FILES:
        raise GitError(f"there are more than {MOST_FILES} files in {folder}")
    return sorted(found)


def _text(file: Path) -> bytes:
    """The beginning of a plain file; nothing for a link, a pipe, or what is not there."""
    with suppress(OSError, ValueError):  # the name of a ref may hold a NUL
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return opened.read(MOST_BYTES)
    return b""


def _there(repo: Repo, commits: Iterable[str]) -> set[str]:
    asked = repo.content.call("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=_lines(commits))
    return {line.split()[0] for line in asked.decode().splitlines() if line.endswith(" commit")}


def _three(line: bytes) -> tuple[str, str, str]:
    """Name, kind and size as `cat-file --batch` tells them."""
    words = line.decode().split()
    if len(words) != 3:
        raise GitError(f"the object {words[0]} of the workspace cannot be read")
    return words[0], words[1], words[2]


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def _quoted(path: Path) -> str:
    escaped = os.fspath(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
