"""How the filters that a user has configured (Git LFS, git-crypt, nbstripout, ...) run on content that agents wrote.

git starts a filter in the work tree, with the content on its standard input. Our git runs with variables and settings
of its own, so each command first gets the user's back: it finds its keys and settings where it finds them for the user.
"""

import hashlib
import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from branchline.core.rules.linear import compiled
from branchline.errors import GitError
from branchline.sandbox.mounts import Mount, own

_AS_USER = "BRANCHLINE_AS_USER"  # the variable that holds what each command begins with
_CONFIG = "GIT_CONFIG_"
_SET_BY_GIT = frozenset({"GIT_CONFIG_PARAMETERS", "GIT_DIR", "GIT_PREFIX"})
_WORD = compiled(r"(?P<begins>(?:^|[|&;(])\s*)?(?P<quote>['\"]?)(?P<word>[^\s|&;()<>$`'\"%*?=\\]+)(?P=quote)")
_CHECKOUT = "BRANCHLINE_CHECKOUT"  # the variable that holds the top of the user's checkout
_TOP = compiled(r"\$\(git rev-parse --show-toplevel\)|`git rev-parse --show-toplevel`")
LFS_POINTER = 1024  # of a pointer: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
_POINTER = compiled(
    rb"\Aversion https?://[^\n]++\n(?:ext-[^\n]++\n)*+oid sha256:(?P<oid>[0-9a-f]{64})\nsize (?P<size>[0-9]+)\n?"
)
LFS_ASIDE = "lfs"  # where Git LFS stores what comes in, below the folder where new objects are kept meanwhile
_NOTHING = "cat"  # the command for a direction in which the user has none


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that the user has configured: a command for each direction, or one process for both."""

    clean: str = ""
    smudge: str = ""
    process: str = ""
    required: bool = False


Wrap = Callable[[Sequence[str], Path, Sequence[Mount]], Sequence[str]]
"""Puts a command that works in a folder into a sandbox where it finds the mounts, if they exist: its new command line.

What must not last, in a folder to throw away, may last where that cannot be had.
"""


@dataclass(frozen=True, slots=True)
class Filters:
    """The user's filters by name, the checkout and the git directory where they find their own, and what contains them.

    `settings`: those of Git LFS; a sandbox may hide the file that they are in. `lfs_store`: where it keeps the user's
    content; `reference`: an objects folder of ours beside which a folder `lfs` leads there. `readable`: all folders that a
    filter may have to read.
    """

    known: Mapping[str, Filter] = field(default_factory=dict)
    root: Path = Path()
    git_dir: Path = Path()
    settings: Mapping[str, str] = field(default_factory=dict)
    lfs_store: Path = Path()
    reference: Path = Path()
    readable: tuple[Path, ...] = ()
    wrap: Wrap | None = None

    def environment(
        self, users: Mapping[str, str], ours: Mapping[str, str], work_tree: Path, aside: Path | None
    ) -> dict[str, str]:
        """Return the environment of a git of ours that can run these filters; its own variables are `ours`.

        With `aside`, content is on its way in: Git LFS puts its own below `aside`, in `lfs`, and a filter that fails is
        an error, even where the user's git would go on and store the content unfiltered.
        """
        has_store = self.lfs_store.is_dir()
        store = aside / LFS_ASIDE if aside else self.lfs_store if has_store else self.reference.parent / "lfs-none"
        readable = own("read", work_tree, *self.readable, *([self.lfs_store] if has_store else ()))
        written = own("throwaway" if store == self.lfs_store else "write", store)  # nothing new comes into the user's
        shell = ["/bin/sh", "-c"]
        contained = [*(self.wrap(shell, work_tree, (*readable, *written)) if self.wrap else shell)]
        commands: dict[str, tuple[str, bool]] = {}
        settings: dict[str, str] = {}
        for name, one in self.known.items():
            single = not one.process
            commands[f"filter.{name}.process"] = (one.process, False)
            commands[f"filter.{name}.clean"] = (one.clean or _NOTHING * single, True)
            commands[f"filter.{name}.smudge"] = (one.smudge or _NOTHING * single, True)
            settings[f"filter.{name}.required"] = str(one.required or (single and aside is not None)).lower()
        settings |= {key: "" for key, (command, _) in commands.items() if command}
        overlay = {*ours, *_SET_BY_GIT, *_as_variables(settings), *(one for one in users if one.startswith(_CONFIG))}
        for key, (command, named) in commands.items():
            # `%f` is the file's path, which git quotes
            text = compiled(r"%([%f])").sub(lambda at: "%" if at[1] == "%" else '"$1"', command) if named else command
            started = shlex.join([*contained, f'eval "${_AS_USER}"; {text}', "sh"])
            if command:
                settings[key] = f"{started.replace('%', '%%')} %f" if named else started
        kept = {name: value for name, value in users.items() if name not in overlay}
        # what each command begins with: the user's variables again, and where Git LFS keeps content
        of_lfs = {**self.settings, "lfs.storage": str(store)}
        variables = {name: users[name] for name in sorted(overlay & users.keys())}
        variables |= {_CHECKOUT: str(self.root), "GIT_DIR": str(self.git_dir)}
        variables |= _as_variables(of_lfs, int(users.get(f"{_CONFIG}COUNT", "0")))
        if store != self.lfs_store:
            # git-lfs looks for content that it has not got beside borrowed objects (fs.go, resolveReferenceDirs)
            variables["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(self.reference)
        lines = (f"export {name}={shlex.quote(value)}" for name, value in variables.items())
        begin = "\n".join([f"unset {' '.join(sorted(overlay))}", *lines])
        return {**kept, _AS_USER: begin, **ours, **_as_variables(settings)}


def of_checkout(one: Filter, root: Path) -> Filter:
    """Return a filter with programs of the tree named where the user's checkout at `root` has them.

    An agent cannot change those, and a new checkout may not have written its own yet.
    """

    def named(match: re.Match[str]) -> str:
        begins, word = match["begins"], match["word"]
        by_path = begins is not None and "/" not in word  # the shell looks such a program up in PATH
        if by_path or os.path.isabs(word) or not (root / word).is_file():
            return match[0]
        return (begins or "") + shlex.quote(str(root / word))

    clean, smudge, process = (
        _TOP.sub(f"${_CHECKOUT}", _WORD.sub(named, command)) for command in (one.clean, one.smudge, one.process)
    )
    return Filter(clean, smudge, process, one.required)


@dataclass(frozen=True, slots=True)
class Pointer:
    """What git stores in the place of a file: the SHA-256 of its content, and its size."""

    oid: str
    size: int


def lfs_pointer(data: bytes) -> Pointer | None:
    """Return what a blob names, or None: it is no pointer."""
    match = _POINTER.fullmatch(data) if len(data) < LFS_POINTER else None
    return Pointer(match["oid"].decode(), int(match["size"])) if match else None


def lfs_place(store: Path, oid: str) -> Path:
    """Return where a store keeps the content of an object."""
    return store / "objects" / oid[:2] / oid[2:4] / oid


def require_lfs(path: Path, oid: str) -> None:
    """Raise GitError unless a file's content is what its name in the store says: a filter wrote it, not we."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != oid:
        raise GitError(f"Git LFS stored content under a wrong name: {oid} is {found}")


def lfs_missing(stores: Iterable[Path], pointers: Iterable[Pointer]) -> list[Pointer]:
    """Return the pointers whose content is in none of the stores; an empty file needs none."""
    there = tuple(stores)
    return [
        one for one in pointers if one.size and not any(os.path.isfile(lfs_place(store, one.oid)) for store in there)
    ]


def _as_variables(settings: Mapping[str, str], before: int = 0) -> dict[str, str]:
    """Settings in the form that git takes from its environment, whatever their names are; there are some `before`."""
    made = {f"{_CONFIG}COUNT": str(before + len(settings))}
    for number, (name, value) in enumerate(settings.items(), start=before):
        made |= {f"{_CONFIG}KEY_{number}": name, f"{_CONFIG}VALUE_{number}": value}
    return made
