"""The only caller of git.

Every call names its git directory, reads no global or system configuration, runs no hook, and has no terminal.
What the repository's own configuration could still start (merge and diff drivers, textconv) is kept out by
`user_git.quarantine`: whatever touches file content runs in a git directory of our own, which shares only the objects.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from branchline.core.rules.linear import compiled
from branchline.errors import GitError, InvalidInput
from branchline.git.filters import Filters
from branchline.process.spawn import Captured, capture
from branchline.process.sweep import MARKER, OWN

OLDEST = (2, 38)
TRIES = 4  # of a git that is killed
NAME = "Branchline"
EMAIL = "branchline@localhost"

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.splitIndex=false",  # the other half would be written into a folder of ours
    "core.excludesFile=/dev/null",
    "core.quotePath=false",
    "core.fsync=all",
    "core.packedGitWindowSize=1m",  # how much of the packs git maps at once counts as memory; no slower
    "core.packedGitLimit=32m",
    "core.filesRefLockTimeout=5000",
    "core.packedRefsTimeout=5000",
    "commit.gpgSign=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "checkout.workers=0",  # one a processor; files with a filter are written one after the other (git-config(1))
    "advice.detachedHead=false",
    "advice.graftFileDeprecated=false",
    "safe.directory=*",  # the check of the owner protects from configuration; see `user_git`
)
_CONFIGURED = [word for setting in _SETTINGS for word in ("-c", setting)]
# larger files would go to a pack of their own, and what is aside is moved one object after another
_ASIDE = ("-c", "core.fsync=none", "-c", "core.bigFileThreshold=2g")
_CONVERT = frozenset({"cat-file", "checkout-index", "diff-files", "read-tree", "update-index"})  # may run filters
NOTHING: Mapping[str, str] = {}
# what git says where an object is missing or cut off (object-file.c, revision.c, list-objects.c, cache-tree.c, ...)
_GONE = compiled(
    rb"unable to read (sha1 file|tree|object|[0-9a-f]{40})|bad (tree |blob )?object |missing (blob|tree|commit|object) "
    rb"|invalid object \d+ |[Cc]ould not (fetch|read|parse commit) [0-9a-f]{40}|cannot read object|unable to find [0-9a-f]{40}"
    rb"|(unable to|could not) get object info|object directory (?:[^o\n]|o(?!bject directory ))*? does not exist|is corrupt|failed to read object"
)
# What `git rev-parse --local-env-vars` lists, and what else makes git look at another place than the user means.
_REDIRECTS = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_CONFIG GIT_CONFIG_PARAMETERS GIT_OBJECT_DIRECTORY GIT_DIR GIT_WORK_TREE"
    " GIT_IMPLICIT_WORK_TREE GIT_GRAFT_FILE GIT_INDEX_FILE GIT_NO_REPLACE_OBJECTS GIT_REPLACE_REF_BASE GIT_PREFIX"
    " GIT_SHALLOW_FILE GIT_COMMON_DIR GIT_INTERNAL_SUPER_PREFIX GIT_NAMESPACE GIT_ATTR_SOURCE GIT_EXTERNAL_DIFF"
    " GIT_QUARANTINE_PATH GIT_LITERAL_PATHSPECS GIT_GLOB_PATHSPECS GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS"
)


class ObjectsGone(GitError, InvalidInput):
    """Objects are not where git looks for them; trying again does not bring them back."""

    exit_code = 1


@cache
def find_git() -> Path:
    """Return the git executable on PATH, never one of the current folder. Raises InvalidInput."""
    places = filter(os.path.isabs, os.environ.get("PATH", os.defpath).split(os.pathsep))
    found = shutil.which("git", path=os.pathsep.join(places))
    if found is None:
        raise InvalidInput("git is not on PATH", hint="install git 2.38 or newer")
    return Path(found)


@cache
def version() -> tuple[int, ...]:
    """Return git's version, e.g. (2, 39, 5). Raises InvalidInput if it is too old for `merge-tree --write-tree`."""
    words = asked_again(lambda: capture([str(find_git()), "version"], cwd=Path("/"), env={})).stdout.decode(
        errors="replace"
    )
    numbers = words.split()[2].split(".") if len(words.split()) > 2 else []
    found = tuple(int(number) for number in numbers if number.isdigit())
    if found < OLDEST:
        message = f"{words.strip() or 'this git'} is too old: Branchline needs 2.38"
        raise InvalidInput(message, hint="install git 2.38 or newer")
    return found


@dataclass(frozen=True, slots=True)
class Git:
    """git on one git directory. Without a work tree, commands that need one fail. `marker`: see process.spawn.

    `aside`: the folder for new objects, in the place of the repository's own; what is there need not last. `lenders`:
    folders of objects that are seen too. `filters`: those that run where attributes of the tree name them; without it none does.
    """

    git_dir: Path
    work_tree: Path | None = None
    index: Path | None = None
    marker: str = ""
    aside: Path | None = None
    lenders: tuple[Path, ...] = ()
    filters: Filters | None = None

    def at(self, work_tree: Path | None = None, index: Path | None = None) -> "Git":
        """Return the same git directory with another work tree and index file."""
        return replace(self, work_tree=work_tree, index=index)

    def storing(self, aside: Path, *lenders: Path) -> "Git":
        """Return the same, with new objects in the folder `aside`; those of the repository are seen all the same."""
        return replace(self, aside=aside, lenders=lenders)

    def call(
        self, *args: str, stdin: bytes = b"", ok: tuple[int, ...] = (0,), env: Mapping[str, str] = NOTHING
    ) -> bytes:
        """Run git and return its output. Raises GitError, in git's words, on an exit code that is not in `ok`."""
        done = self.status_of(*args, stdin=stdin, env=env)
        if done.code not in ok:
            raise failed(f"git {args[0]} failed", done)
        return done.stdout

    def text(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] = NOTHING) -> str:
        """Like `call`, for one line of output."""
        return os.fsdecode(self.call(*args, stdin=stdin, env=env).removesuffix(b"\n"))

    def says(self, *question: str) -> bool:
        """Whether git answers a question with yes, its exit code 0, or with no, 1. Raises GitError on any other."""
        done = self.status_of(*question)
        if done.code not in (0, 1):
            raise failed(f"git {question[0]} failed", done)
        return done.code == 0

    def stands_for(self, ref: str) -> str:
        """Return the full name of the ref that a symbolic ref (`HEAD`) stands for; empty if it is none."""
        return os.fsdecode(self.status_of("symbolic-ref", "--quiet", ref).stdout.removesuffix(b"\n"))

    def status_of(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] = NOTHING) -> Captured:
        """Run git and return its exit code and output, whatever they are. Raises GitError if it is killed each time."""
        return asked_again(lambda: self.once(*args, stdin=stdin, env=env))

    def once(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] = NOTHING) -> Captured:
        """Run git once; its code is negative if it was killed. The lock of an index of ours goes with it."""
        lock = Path(f"{self.index or self.git_dir / 'index'}.lock") if self.index or self.work_tree else None
        free = lock is not None and not lock.exists()
        done = self._captured(*args, stdin=stdin, env=env)
        if done.code < 0 and lock is not None and free:
            lock.unlink(missing_ok=True)
        return done

    def _captured(self, *args: str, stdin: bytes, env: Mapping[str, str]) -> Captured:
        place = [f"--git-dir={self.git_dir}"]
        configured = _CONFIGURED if self.aside is None else [*_CONFIGURED, *_ASIDE]
        if self.work_tree is not None:
            place.append(f"--work-tree={self.work_tree}")
        own = {"GIT_INDEX_FILE": str(self.index)} if self.index is not None else {}
        if self.aside is not None:
            own["GIT_OBJECT_DIRECTORY"] = str(self.aside)
        if self.aside is not None or self.lenders:
            seen = os.pathsep.join(quoted(str(folder)) for folder in (self.git_dir / "objects", *self.lenders))
            own["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = seen
        mark = {MARKER: self.marker + OWN} if self.marker else {}
        where = self.work_tree or self.git_dir
        given = {**_environment(), **own, **mark, **env}
        if self.filters and self.filters.known and self.work_tree and args[0] in _CONVERT:
            given = self.filters.environment(user_environment(), given, where, self.aside)
        return capture([str(find_git()), *place, *configured, *args], cwd=where, env=given, stdin=stdin)


def asked_again(ask: Callable[[], Captured]) -> Captured:
    """The answer of a git. One that somebody kills says nothing about what it was asked, so it is asked again."""
    for _ in range(TRIES):
        done = ask()
        if done.code >= 0:
            return done
    raise GitError(f"git was killed {TRIES} times, by signal {-done.code}")


def anywhere(*args: str, cwd: Path, stdin: bytes = b"") -> Captured:
    """Run git in a folder whose git directory, if there is one, is not known yet; return its exit code and output."""
    return asked_again(
        lambda: capture([str(find_git()), *_CONFIGURED, *args], cwd=cwd, env=_environment(), stdin=stdin)
    )


def as_user(*args: str, cwd: Path, stdin: bytes = b"") -> Captured:
    """Run the user's git in a folder, as the user would; return its exit code and output."""
    return asked_again(lambda: capture([str(find_git()), *args], cwd=cwd, env=user_environment(), stdin=stdin))


def user_environment() -> dict[str, str]:
    """Return the environment in which the user's git runs: never redirected, never asking, locking nothing unasked."""
    kept = {name: value for name, value in os.environ.items() if name not in _REDIRECTS.split()}
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}


def configured(text: bytes) -> list[tuple[str, str]] | None:
    """The settings that a configuration file's text makes, in order; None if git cannot read it."""
    done = anywhere("config", "--file", "-", "--no-includes", "--null", "--list", cwd=Path("/"), stdin=text)
    if done.code != 0:
        return None
    pairs = (os.fsdecode(one).partition("\n") for one in done.stdout.split(b"\0")[:-1])
    return [(name, value) for name, _, value in pairs]


def failed(what: str, done: Captured) -> GitError:
    """Return the error for a git that failed, in git's words; one that lacks objects must not be tried again."""
    if _GONE.search(done.stderr):
        return ObjectsGone(f"{what}: objects are missing: {words(done)}", hint="git fsck --connectivity-only")
    return GitError(f"{what}: {words(done)}")


def quoted(text: str) -> str:
    """Return a text as git reads it in its configuration and in lists of object folders."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def words(done: Captured) -> str:
    """Return what git said about a failure, in one line."""
    ended = f"exit code {done.code}" if done.code >= 0 else f"signal {-done.code}"
    said = os.fsdecode(done.stderr).strip() or ended
    return " ".join(line.removeprefix("fatal: ").removeprefix("error: ") for line in said.splitlines())[:500]


def _environment() -> dict[str, str]:
    ours = {
        "LC_ALL": "C",
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_GRAFT_FILE": os.devnull,
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
    }
    for who in ("AUTHOR", "COMMITTER"):
        ours[f"GIT_{who}_NAME"], ours[f"GIT_{who}_EMAIL"] = NAME, EMAIL
    return ours
