"""What no run may change, looked at before and after; and what an answer that refuses must look like."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from support import Project, Ran

OURS = re.compile(r"refs/(branchline/|heads/(feature|integration)/|tags/release/)")


@dataclass(frozen=True)
class Seen:
    """A checkout, byte by byte, with its index and HEAD; and every ref that is not a run's."""

    files: dict[str, tuple[int, bytes]]
    index: bytes
    head: bytes
    refs: dict[str, str]


def see(project: Project) -> Seen:
    """Look at a project's checkout and refs."""
    git_dir = Path(project.git("rev-parse", "--absolute-git-dir"))
    index = git_dir / "index"
    listing = project.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return Seen(
        files=files_below(project.root),
        index=index.read_bytes() if index.exists() else b"",
        head=(git_dir / "HEAD").read_bytes(),
        refs=dict(line.split(" ") for line in listing if not OURS.match(line)),
    )


def files_below(root: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content of every file below a folder (of a link: where it leads); without `.git` and `.runs`."""
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in {".git", ".runs"}]
        for name in names:
            place = Path(folder, name)
            if name == ".runs":  # the link to the record
                continue
            mode = place.lstat().st_mode
            content = os.fsencode(os.readlink(place)) if stat.S_ISLNK(mode) else place.read_bytes()
            found[str(place.relative_to(root))] = (mode, content)
    return found


def assert_untouched(project: Project, before: Seen) -> None:
    """The checkout, its index and every ref that is not ours are as they were, and git knows of no other worktree."""
    assert see(project) == before
    assert_no_worktrees(project)
    assert project.git("fsck", "--connectivity-only", "--no-dangling") == ""


def assert_no_worktrees(project: Project) -> None:
    """Runs register none with the user's git."""
    assert len(project.git("worktree", "list").splitlines()) == 1


def assert_refused(ran: Ran, code: int, *words: str, hint: str | None = None) -> None:
    """The answer has that exit code, says those words, names the next command, and shows no traceback."""
    assert ran.code == code, (ran.code, ran.err)
    assert "Traceback" not in ran.err + ran.out
    for word in words:
        assert word in ran.err, (word, ran.err)
    if hint is not None:
        hints = [line for line in ran.err.splitlines() if line.startswith("hint: ")]
        assert any(hint in line for line in hints), ran.err
