"""What git keeps of a worktree: its folder in `<git directory>/worktrees/`, and whose it is.

Three files say at which place the worktree is: git's `gitdir`, the reason in `locked`, which git writes first of all,
and our own. An agent may have ruined any of them, and a person may have moved the repository.
"""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

READY = "branchline"  # our file: the checkout is complete; the branch's ref or the commit, and on a line of its own the place
NOTE = "branchline: "  # the reason for git's lock of a worktree begins with it; what follows is the place
NEEDED = ("commondir", "gitdir", "HEAD")  # files without which a registration stops every git in the repository
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_HEAD = re.compile(r"(ref: refs/[^\0]+|[0-9a-f]{40}|[0-9a-f]{64})\n?")


@dataclass(frozen=True, slots=True)
class Registration:
    """The registration of one worktree, as it is on disk at each look."""

    admin: Path

    @property
    def place(self) -> Path | None:
        """The worktree that `gitdir` names; None where it names none."""
        said = _read(self.admin / "gitdir")
        return Path(os.fsdecode(said)).parent if said.endswith(b"/.git") else None

    @property
    def note(self) -> Path | None:
        """The worktree that git was told to lock it for."""
        said = os.fsdecode(_read(self.admin / "locked"))
        return Path(said.removeprefix(NOTE)) if said.startswith(NOTE) else None

    @property
    def nameless(self) -> bool:
        """Whether nobody says of which worktree it is: git has only begun to write it."""
        return (self.place, self.note, self.kept) == (None, None, None)

    @property
    def made(self) -> bool:
        """Whether it is one of ours, its checkout complete."""
        return (self.admin / READY).is_file()

    @property
    def on(self) -> str:
        """What we checked out: the full name of a branch's ref, or a commit; empty if that is not known."""
        return os.fsdecode(_read(self.admin / READY)).partition("\n")[0]

    @property
    def kept(self) -> Path | None:
        """The worktree that our own file names."""
        said = os.fsdecode(_read(self.admin / READY)).partition("\n")[2]
        return Path(said) if said else None

    def names(self, path: Path) -> bool:
        """Whether it is that of the worktree at `path`: git's word counts, and ours only where git says nothing.

        Where nobody says anything any more, the folder's `.git` is believed if the names agree.
        """
        if self.place is not None:
            return self.place == path
        said = {self.note, self.kept} - {None}
        return path in said or (not said and _numbered(self.admin.name, path.name) and self.lives_at(path))

    def lives_at(self, path: Path | None) -> bool:
        """Whether a folder's `.git` leads here."""
        if path is None or path.is_symlink() or not (path / ".git").is_file():
            return False
        said = os.fsdecode(_read(path / ".git"))
        return said.startswith("gitdir: ") and os.path.realpath(said[8:]) == os.path.realpath(self.admin)

    def damage(self) -> list[str]:
        """The files that git needs and that are missing, empty or nonsense."""
        wrong = [name for name in NEEDED if not _read(self.admin / name)]
        common = os.fsdecode(_read(self.admin / "commondir"))
        if common and os.path.realpath(self.admin / common) != os.path.realpath(self.admin.parent.parent):
            wrong.append("commondir")
        head = os.fsdecode(_read(self.admin / "HEAD"))
        if head and not _HEAD.fullmatch(head):
            wrong.append("HEAD")
        if "gitdir" not in wrong and self.place is None:
            wrong.append("gitdir")
        return sorted(wrong)

    @property
    def readable_index(self) -> bool:
        """Whether it has an index that git can begin to read."""
        return _read(self.admin / "index").startswith(b"DIRC")

    def write(self, path: Path, on: str, *, head: bool) -> None:
        """Make it right again for a worktree at `path`, with `on` checked out; HEAD too, if asked."""
        self.admin.mkdir(parents=True, exist_ok=True)
        self.lock(path)
        _write(self.admin / "commondir", b"../..\n")
        if head:
            _write(self.admin / "HEAD", os.fsencode(f"ref: {on}\n" if on.startswith("refs/") else f"{on}\n"))
        _write(self.admin / "gitdir", os.fsencode(path / ".git") + b"\n")
        self.finish(path, on)

    def lock(self, path: Path) -> None:
        """Keep `git worktree prune` away."""
        _write(self.admin / "locked", os.fsencode(f"{NOTE}{path}\n"))

    def finish(self, path: Path, on: str) -> None:
        """Note that the checkout is complete."""
        _write(self.admin / READY, os.fsencode(f"{on}\n{path}\n"))


def registrations(common_dir: Path) -> list[Registration]:
    """All worktrees that are registered in a repository, by the names of their registrations."""
    folder = common_dir / "worktrees"
    return [Registration(one) for one in sorted(folder.iterdir()) if one.is_dir()] if folder.is_dir() else []


def of_path(common_dir: Path, path: Path) -> Registration | None:
    """The registration of the worktree at `path`. git names one by its folder, with a number if that name is taken."""
    folder = common_dir / "worktrees"
    named = Registration(folder / path.name)
    if named.admin.is_dir() and named.names(path):
        return named
    if _PLAIN.fullmatch(path.name) and not os.path.lexists(path) and folder.is_dir():
        likely = sorted(name for name in os.listdir(folder) if _numbered(name, path.name))
        found = [Registration(folder / name) for name in likely]
    else:  # git writes other names otherwise, and keeps the name of one that is moved: look at all of them
        found = registrations(common_dir)
    return next((one for one in found if one.names(path)), None)


def _numbered(name: str, stem: str) -> bool:
    return name.startswith(stem) and not name.removeprefix(stem).strip("0123456789")


def _read(file: Path) -> bytes:
    """The first bytes of a file without its last newline; nothing of one that is not there, or is no file."""
    try:
        if file.is_symlink() or not file.is_file():
            return b""
        with file.open("rb") as opened:
            return opened.read(1 << 16).removesuffix(b"\n")
    except OSError:  # it has gone since
        return b""


def _write(file: Path, content: bytes) -> None:
    """Replace a file in one step, also where a folder or a link is in its place: git must never see one half written."""
    draft = file.with_name(f"{file.name}.branchline")
    draft.write_bytes(content)
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    draft.replace(file)
