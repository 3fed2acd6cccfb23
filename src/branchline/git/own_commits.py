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
from pathlib import Path
from tempfile import TemporaryDirectory

from branchline.core.refs import HEADS, branch_ref
from branchline.errors import GitError
from branchline.git.command import Git, words
from branchline.git.folders import is_folder
from branchline.git.repo import Repo
from branchline.process.spawn import Captured

MOST_FILES = 2000  # refs and reflogs that are read
MOST_BYTES = 4 << 20  # of one of them
MOST_COMMITS = 10_000  # that an argument list holds
MOST_OBJECTS = 200_000  # that are looked through
_NAME = re.compile(rb"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{40})(?![0-9a-f])")


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
            _, kind, size = bytes(answer[at:end]).split()
            at = end + int(size) + 2
            yield kind.decode(), bytes(answer[end + 1 : at - 1])

    def sizes(self) -> dict[str, int]:
        """The size of each object in bytes."""
        form = "--batch-check=%(objectname) %(objectsize)"
        lines = self._call("cat-file", form, stdin=_lines(self.objects)).stdout.decode().splitlines()
        return {name: int(size) for name, size in (line.split() for line in lines)}

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
    names = _named(workspace / ".git")
    if not names:
        yield None
        return
    with TemporaryDirectory(dir=scratch, prefix="commits-") as folder:
        shared = (repo.content.git_dir / "objects", workspace / ".git/objects")
        env = {
            "GIT_OBJECT_DIRECTORY": folder,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(map(_quoted, shared)),
        }
        git = repo.content
        asked = git.status_of("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=_lines(names), env=env)
        commits = [line.split()[0] for line in asked.stdout.decode().splitlines() if line.endswith(" commit")]
        commits = [one for one in commits if one != base][-MOST_COMMITS:]
        if not commits:
            yield None
            return
        known = _there(repo, commits)
        found = git.status_of("merge-base", "--independent", base, *commits, env=env)
        if found.code != 0:
            raise GitError(f"the commits of {workspace} cannot be read: {words(found)}")
        tips = tuple(sorted(tip for tip in found.stdout.decode().split() if tip != base))
        wanted = "".join(f"{tip}\n" for tip in tips) + "".join(f"^{one}\n" for one in (base, *sorted(known)))
        listed = git.status_of("rev-list", "--objects", "--stdin", stdin=wanted.encode(), env=env)
        if listed.code != 0:
            raise GitError(f"the commits of {workspace} cannot be read: {words(listed)}")
        objects = tuple(dict.fromkeys(line.split(b" ", 1)[0].decode() for line in listed.stdout.splitlines()))
        if len(objects) > MOST_OBJECTS:
            raise GitError(f"the commits of {workspace} have {len(objects)} objects, more than {MOST_OBJECTS}")
        yield OwnCommits(base, tips, objects, git, env) if tips else None


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


def _named(git_dir: Path) -> list[str]:
    """Every object that a ref, HEAD or a reflog of the workspace names."""
    if not is_folder(git_dir):
        return []
    files = [git_dir / "HEAD", git_dir / "ORIG_HEAD", *_files(git_dir / "refs"), *_files(git_dir / "logs")]
    packed = [line for line in _text(git_dir / "packed-refs").splitlines() if f" {HEADS}".encode() in line]
    found = dict.fromkeys(name for file in files[:MOST_FILES] for name in _NAME.findall(_text(file)))
    found |= dict.fromkeys(name for line in packed for name in _NAME.findall(line))
    return [name.decode() for name in found if name.strip(b"0")]


def _files(folder: Path) -> Iterator[Path]:
    for inside, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(inside, name) for name in sorted(names))


def _text(file: Path) -> bytes:
    """The beginning of a plain file; nothing for a link, a pipe, or what is not there."""
    with suppress(OSError):
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return opened.read(MOST_BYTES)
    return b""


def _there(repo: Repo, commits: Iterable[str]) -> set[str]:
    asked = repo.content.call("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=_lines(commits))
    return {line.split()[0] for line in asked.decode().splitlines() if line.endswith(" commit")}


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def _quoted(path: Path) -> str:
    escaped = os.fspath(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
