"""What a repository's own folder says beside its content: settings, hooks, attributes, refs; and what of it changed.

The commands of a workspace have no business there: a hook or a setting would have later commands run programs, and a
ref that moved would show a gate that compares with it another change.
"""

import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from branchline.core.rules.linear import compiled, linear
from branchline.git.command import Git
from branchline.git.folders import files_below, is_folder
from branchline.git.objects import fields
from branchline.process.output import content_of

_FILES = (
    "info/attributes",
    "info/exclude",
    "info/sparse-checkout",
    "info/grafts",
    "objects/info/alternates",
    "HEAD",
    "shallow",
)
_HARMLESS = ("lfs.repositoryformatversion", "user.name", "user.email", "advice.", "color.")
_OBEYED = (".git/hooks", ".git/info/attributes", ".git/objects/info/alternates", ".git/config")
_STARTS = compiled(
    r"^(?:alias|filter|include|includeif|credential|pager|url|protocol|browser|man|sendemail|extensions)\."
    r"|^core\.(?:fsmonitor|hookspath|sshcommand|pager|editor|gitproxy|askpass|attributesfile|excludesfile|worktree|alternaterefscommand)$"
    r"|(?:command|program|textconv|driver|cmd|editor|difffilter|uploadpack|receivepack|vcs|proxy|helper|update|external)$"
)
"""Settings that have git start a program or look elsewhere."""
_UNSEEN = ("refs/stash", "refs/bisect/", "refs/rewritten/")  # what tools use for themselves
_MOST_FILES = 10_000
_MOST_BYTES = 1 << 24

State = dict[str, str]


def state_of(git: Git, git_dir: Path, *, refs: bool = True) -> State:
    """What stands in `git_dir`, by the name of a file, a setting or a ref. `git`: one of ours, that obeys none of it."""
    if not is_folder(git_dir):
        return {".git": "no folder"}
    found = {f".git/{name}": said for name in _FILES if (said := _said(git_dir / name))}
    hooks = git_dir / "hooks"
    if is_folder(hooks):
        with os.scandir(hooks) as entries:
            some = [Path(one.path) for one in islice(entries, _MOST_FILES)]
        found |= {f".git/hooks/{one.name}": _said(one) for one in some if not _is_of_lfs(one)}
    elif said := _said(hooks):
        found[".git/hooks"] = said
    found |= _settings(git, git_dir) | (_refs(git_dir) if refs else {})
    return {name: said.replace(str(git_dir.parent), ".") for name, said in found.items()}


@dataclass(frozen=True, slots=True)
class Guard:
    """What of the user's own git directory has programs run, or leads elsewhere, as it was: only where nothing hides it.

    What the user does meanwhile (branches, remotes, a name) is none of this.
    """

    git: Git
    git_dir: Path
    before: State
    files: dict[str, tuple[int, bytes]]

    @classmethod
    def of(cls, git: Git, git_dir: Path) -> "Guard":
        """As it is now."""
        state = _guarded(git, git_dir)
        places = {
            name: git_dir / name.removeprefix(".git/") for name in (*state, ".git/config") if name.startswith(".git/")
        }
        content = {name: content_of(place, _MOST_BYTES) for name, place in places.items()}
        files = {name: (places[name].stat().st_mode, data) for name, data in content.items() if data is not None}
        return cls(git, git_dir, state, files)

    def put_back(self, aside: Path) -> State:
        """Put back what changed since, and return it; what stood there is moved to `aside`."""
        found = changed(self.before, _guarded(self.git, self.git_dir))
        config = ("config", "--file", str(self.git_dir / "config"))
        for name, said in found.items():
            if name.startswith(".git/"):
                place = self.git_dir / name.removeprefix(".git/")
                if os.path.lexists(place):
                    aside.mkdir(parents=True, exist_ok=True)
                    shutil.move(place, aside / place.name)
                if name in self.files:
                    mode, content = self.files[name]
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(content)
                    place.chmod(stat.S_IMODE(mode))
                continue
            aside.mkdir(parents=True, exist_ok=True)
            with (aside / "settings").open("a", encoding="utf-8", errors="surrogateescape") as file:
                file.write(f"{name} = {said}\n")
            self.git.call(*config, "--unset-all", name, ok=(0, 5))
            for value in self.before[name].split("\n") if name in self.before else ():
                self.git.call(*config, "--add", name, value)
        return found


def _guarded(git: Git, git_dir: Path) -> State:
    state = state_of(git, git_dir, refs=False)
    return {name: said for name, said in state.items() if name.startswith(_OBEYED) or _STARTS.search(name)}


def _is_of_lfs(hook: Path) -> bool:
    """Whether a hook is the one that git-lfs installs whenever it is used."""
    says = rb'(?:printf|echo) >&2 (?:"[^"`$]*" ?)+'  # nothing in it is a command, also where git-lfs is missing
    own = rb"#!/bin/sh\ncommand -v git-lfs >/dev/null 2>&1 \|\| \{ " + says + rb'; exit 2; \}\ngit lfs [a-z-]+ "\$@"\s*'
    return linear(own).fullmatch(content_of(hook, _MOST_BYTES) or b"") is not None


def changed(before: State, after: State) -> State:
    """What differs afterwards, by its name; empty text for what has gone."""
    return {name: after.get(name, "") for name in sorted(before | after) if before.get(name) != after.get(name)}


def _settings(git: Git, git_dir: Path) -> State:
    found: State = {}
    for name in ("config", "config.worktree"):
        file = git_dir / name
        if not os.path.lexists(file):
            continue
        asked = ("config", "--file", str(file), "--no-includes", "--list", "--null")
        done = git.status_of(*asked) if _said(file).startswith("file ") else None
        if done is None or done.code != 0:
            found[f".git/{name}"] = _said(file)
            continue
        for setting in fields(done.stdout):
            key, _, value = setting.partition("\n")
            if not key.startswith(_HARMLESS):
                found[key] = f"{found[key]}\n{value}" if key in found else value
    return found


def _refs(git_dir: Path) -> State:
    """Every ref, packed or not: `git gc` moves none."""
    found: State = {}
    for line in os.fsdecode(content_of(git_dir / "packed-refs", _MOST_BYTES) or b"").splitlines():
        oid, _, name = line.partition(" ")
        if line[:1] not in {"#", "^"} and name:
            found[name] = oid
    for path in islice(files_below(git_dir / "refs"), _MOST_FILES):
        found[f"refs/{path}"] = os.fsdecode(content_of(git_dir / "refs" / path, _MOST_BYTES) or b"?").strip()
    return {name: oid for name, oid in found.items() if not name.startswith(_UNSEEN)}


def _said(place: Path) -> str:
    """What a file holds, in short; empty for nothing."""
    try:
        found = place.lstat()
    except OSError:
        return ""
    if stat.S_ISLNK(found.st_mode):
        return f"link {os.readlink(place)}"
    content = content_of(place, _MOST_BYTES)
    if content is None:
        return "no file"
    return f"file {stat.S_IMODE(found.st_mode) & 0o111:o} {hashlib.sha256(content).hexdigest()}"
