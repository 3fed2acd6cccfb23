"""Look at each file of a work tree before git reads it: what is taken, what is gone, what is refused.

What an agent left is hostile until proven otherwise. A file whose bytes are those that git stores for it is not
touched, whatever attributes would make of it now; only what differs goes on to git.
"""

import hashlib
import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from branchline.core.rules.by_products import ignore_line
from branchline.core.rules.protection import reserved
from branchline.git.command import Git
from branchline.git.folders import same_content, too_deep
from branchline.git.objects import (
    EXECUTABLE,
    GITLINK,
    LINK,
    PLAIN,
    Entry,
    attributes,
    fields,
    put,
    refused_by,
    staged,
)
from branchline.git.user_git import is_true
from branchline.git.workspace import is_untouched
from branchline.process.output import head, open_regular
from branchline.process.trees import walk

# a file that says of its folder that a program made it: https://bford.info/cachedir/, PEP 405
_MARKS = {"CACHEDIR.TAG": b"Signature: 8a477f597d28d172789f06886806bc55", "pyvenv.cfg": b"home"}

_CONVERTING = ("text", "eol", "crlf", "ident", "filter", "working-tree-encoding")
_CHECK_OUT = ("checkout-index", "--quiet", "--force", "-z", "--stdin")


@dataclass(frozen=True, slots=True)
class Refused:
    """A path that was left out, and why; `line` of the file, if it is about one."""

    path: str
    reason: str
    line: int = 0

    def __str__(self) -> str:
        if self.line and self.path.isprintable():
            return f"{self.path}:{self.line}: {self.reason}"
        return f"{self.path!r}{f':{self.line}' if self.line else ''}: {self.reason}"


class Screen:
    """Sorts the paths of a work tree: `taken` to add, `gone` to remove, `refused` to leave out and report.

    `stored`: the mode and blob of each taken path that the base has; `remoded`: the paths of which only the mode
    changed. `by_products`: how many new files were left out because a program made them on the side, by the line of a
    .gitignore that covers them.
    """

    def __init__(self, git: Git, scratch: Path, *, max_bytes: int | None, room: int | None = None) -> None:
        """`git`: at the work tree, with the index of the base. With `room`, all that can be taken is, up to so many bytes.

        Modes and links are taken as the user's git takes them.
        """
        settings = dict(one.partition("\n")[::2] for one in fields(git.call("config", "--list", "--null")))
        self._git, self._root = git, os.fspath(git.work_tree or "")
        self._files = list(staged(git))
        self._max_bytes, self._room, self._everything = max_bytes, room or 0, room is not None
        self._file_mode = is_true(settings.get("core.filemode", "true"))
        self._symlinks = is_true(settings.get("core.symlinks", "true"))
        sparse = is_true(settings.get("core.sparsecheckout", ""))
        self._outside = outside_sparse(git, self._files, scratch) if sparse else set[str]()
        self._folders: dict[str, bool] = {"": True}
        self._marked: dict[str, str | None] = {"": None}
        self._deep: set[str] = set()
        self._tracked: set[str] = set()
        self._tracked_lines: set[str] | None = None
        self.taken: list[str] = []
        self.gone: list[str] = []
        self.refused: list[Refused] = []
        self.stored: dict[str, tuple[str, str]] = {}
        self.remoded: list[str] = []
        self.by_products: Counter[str] = Counter()

    def tracked(self) -> None:
        """Sort the files of the base. A submodule stays as it is."""
        for one in self._files:
            self._tracked.add(one.path)
            found = self._look(one.path)
            if one.mode == GITLINK:
                self._submodule(one.path, found, one.oid)
            elif found is None and one.path in self._outside:
                continue
            elif found is None or stat.S_ISDIR(found.st_mode):
                self.gone.append(one.path)
            else:
                self._compare(one.path, found, one.mode, one.oid)

    def _compare(self, path: str, found: os.stat_result, mode: str, oid: str) -> None:
        now = self._mode(found, mode)
        large = self._too_large(found) and int(self._git.text("cat-file", "-s", oid)) != found.st_size
        same = not large and (now == LINK) == (mode == LINK) and blob_id(self._place(path), len(oid)) == oid
        if not same or now != mode:
            self.stored[path] = (now, oid)
        if same and now != mode:
            self.remoded.append(path)
        elif not same and self._too_large(found) and not large:
            self.taken.append(path)  # it was this large before
        elif not same:
            self._sort(path, found)

    def _mode(self, found: os.stat_result, mode: str) -> str:
        """What git stores as the mode of a file that had `mode` in the base."""
        if stat.S_ISLNK(found.st_mode):
            return LINK
        if mode == LINK and not self._symlinks and stat.S_ISREG(found.st_mode):
            return LINK  # it was checked out as a file that holds where it leads
        if not self._file_mode:
            return PLAIN if mode == LINK else mode
        return EXECUTABLE if found.st_mode & stat.S_IXUSR else PLAIN

    def _submodule(self, path: str, found: os.stat_result | None, commit: str) -> None:
        """Refuse what was put where a submodule is, empty or as it was checked out; to save, take it in its place."""
        is_folder = found is not None and stat.S_ISDIR(found.st_mode)
        place = Path(self._place(path))
        if found is None or (is_folder and (not os.listdir(place) or is_untouched(self._git, place, commit))):
            return
        if not self._everything:
            what = "it is a submodule, and its files were changed" if is_folder else "it replaces a submodule"
            self.refused.append(Refused(path, what))
            return
        self.gone.append(path)
        for inside in self._files_below(path) if is_folder else (path,):
            if not self._is_deep(inside):
                self._sort(inside, os.lstat(self._place(inside)))

    def untracked(self, paths: Iterable[str], most: int) -> None:
        """Sort new files; git lists a nested repository as a folder, its name ending in a slash."""
        shallow = (path for path in chain.from_iterable(map(self._expand, paths)) if not self._is_deep(path))
        new = (path for path in shallow if not self._is_by_product(path))
        for path in islice(new, most):
            found = self._look(path)
            if found is not None:
                self._sort(path, found)
        left_out = sum(1 for _ in new)
        if left_out:
            self.refused.append(Refused("", f"{left_out} files past the first {most}"))

    def files_of(self, path: str) -> Iterator[str]:
        """The files of an ignored path, or of a folder if it ends in a slash, but for what programs make on the side."""
        if not path.endswith("/"):
            inside = iter([path])
        elif ignore_line(f"{path}x") or self._marked_line(path.rstrip("/")):
            return
        else:
            inside = (one for one in self._files_below(path.rstrip("/")) if not too_deep(one))
        yield from (one for one in inside if not ignore_line(one) and not self._marked_line(os.path.dirname(one)))

    def collide(self) -> None:
        """Refuse new paths that are no paths of their own everywhere; to save, where they are will do."""
        new = [path for path in self.taken if path not in self._tracked]
        if self._everything or not new:
            return
        found = collisions(self._tracked.difference(self.gone), new)
        self.taken = [path for path in self.taken if path not in found]
        self.refused += [Refused(path, f"on some systems it is the same as {other!r}") for path, other in found.items()]

    def _is_by_product(self, path: str) -> bool:
        """Count and leave out a new file that a program made on the side, unless the base has files of the same kind."""
        line = None if self._everything else ignore_line(path) or self._marked_line(os.path.dirname(path))
        if line is None:
            return False
        if self._tracked_lines is None:
            self._tracked_lines = {found for one in self._tracked if (found := ignore_line(one))}
        if line in self._tracked_lines:
            return False
        self.by_products[line] += 1
        return True

    def _marked_line(self, folder: str) -> str | None:
        """The line for the topmost folder above a file that says of itself that a program made it."""
        for one in self._unknown(folder, self._marked):
            line = self._marked[os.path.dirname(one)]
            marks = (head(self._place(f"{one}/{name}"), len(start)) == start for name, start in _MARKS.items())
            if line is None and any(marks) and not any(path.startswith(f"{one}/") for path in self._tracked):
                line = f"/{one}/"
            self._marked[one] = line
        return self._marked[folder]

    def _sort(self, path: str, found: os.stat_result) -> None:
        reason = self._objection(path, found)
        if reason is None and self._everything and stat.S_ISREG(found.st_mode) and not found.st_mode & stat.S_IRUSR:
            os.chmod(self._place(path), found.st_mode | stat.S_IRUSR)
        if reason is None:
            self.taken.append(path)
        else:
            self.refused.append(Refused(path, reason))

    def _objection(self, path: str, found: os.stat_result) -> str | None:
        if taken := reserved(path):
            return f"its name means {taken} on some systems"
        if stat.S_ISLNK(found.st_mode) or self.stored.get(path, ("",))[0] == LINK:
            return None if self._everything else self._link_objection(path, found)
        if not stat.S_ISREG(found.st_mode):
            return "it is a device, a pipe or a socket"
        # Through a filter of the user's it is stored in another size.
        filters = self._git.filters.known if self._git.filters else {}
        if self._too_large(found) and next(attributes(self._git, [path], "filter"))[1] not in filters:
            return f"it holds {found.st_size} bytes, more than {self._max_bytes}"
        if self._everything and found.st_size > self._room:
            return "with it, more would be saved than there is room for"
        self._room -= found.st_size if self._everything else 0
        return None

    def _link_objection(self, path: str, found: os.stat_result) -> str | None:
        """Why a link cannot be taken, also one that is checked out as a file (`core.symlinks=false`)."""
        if stat.S_ISLNK(found.st_mode):
            target = os.readlink(self._place(path))
        else:
            with open(self._place(path), "rb") as file:
                target = os.fsdecode(file.read(4096))
        if os.path.isabs(target):
            return "it is a link to an absolute path"
        written = os.path.normpath(os.path.join(os.path.dirname(path), target)).split("/")
        real = os.path.relpath(os.path.realpath(self._place(path)), os.path.realpath(self._root)).split("/")
        if ".." in (written[0], real[0]):
            return "it is a link that leaves the tree"
        taken = reserved("/".join(written + real))
        return f"it is a link into {taken}" if taken else None

    def _too_large(self, found: os.stat_result) -> bool:
        return self._max_bytes is not None and stat.S_ISREG(found.st_mode) and found.st_size > self._max_bytes

    def _look(self, path: str) -> os.stat_result | None:
        """Return what is at `path`, or None: nothing, or something that is reached through a link."""
        if not self._is_folder(os.path.dirname(path)):
            return None
        try:
            return os.lstat(self._place(path))
        except OSError:
            return None

    def _is_folder(self, path: str) -> bool:
        """Whether `path` is a real folder of the tree, reached through real folders; report a repository in it."""
        for one in self._unknown(path, self._folders):
            place = self._place(one)
            known = self._folders[os.path.dirname(one)] and os.path.isdir(place) and not os.path.islink(place)
            self._folders[one] = known
            if known and os.path.lexists(os.path.join(place, ".git")):
                self.refused.append(Refused(f"{one}/.git", "a nested repository: its files are taken, not its history"))
        return self._folders[path]

    @staticmethod
    def _unknown(folder: str, known: Collection[str]) -> list[str]:
        """The folders above a path, itself included, that are not known yet, from the top down."""
        found = []
        while folder not in known:
            found.append(folder)
            folder = os.path.dirname(folder)
        return found[::-1]

    def _expand(self, path: str) -> Iterator[str]:
        if not path.endswith("/"):
            yield path
        elif not self._everything:
            self.refused.append(Refused(path.rstrip("/"), "a nested repository"))
        else:
            yield from self._files_below(path.rstrip("/"))

    def _files_below(self, path: str) -> Iterator[str]:
        for folder in walk(self._place(path)):
            inside = os.path.join(path, folder.path or "").strip("/")
            folder.folders[:] = sorted(name for name in folder.folders if name != ".git")
            if too_deep(f"{inside}/"):
                folder.folders.clear()
                yield f"{inside}/"
                continue
            if self._everything and inside:
                self._is_folder(inside)  # a repository may hold nothing but its history
            yield from (os.path.join(inside, name) for name in sorted(folder.names) if name != ".git")

    def unlisted(self) -> None:
        """Refuse the folders that are too deep for git to list."""
        for path in self._files_below(""):
            self._is_deep(path)

    def _is_deep(self, path: str) -> bool:
        """Whether a new path is too deep to be taken; what is at the last folder that is not is refused as a whole."""
        if (top := too_deep(path)) and top not in self._deep:
            self._deep.add(top)
            self.refused.append(Refused(top, "its folders are too deep: all that is in it was left out"))
        return bool(top)

    def _place(self, path: str) -> str:
        return os.path.join(self._root, path)


def untouched(git: Git, base_index: Path, folder: Path, paths: Collection[str]) -> set[str]:
    """Return those of the paths whose bytes in the work tree are what a checkout of the base writes.

    git cleans some of these to other content than the base has: CRLF files that `* text` came after, files stored
    before their filter was configured, filters that do not give back what they took. `base_index` holds the base.
    """
    blank = folder / "checkout"
    blank.mkdir()
    base = git.at(blank, base_index)  # the attributes of the base, because no file of the work tree is seen
    converted = {path for path, value in attributes(base, paths, *_CONVERTING) if value != "unspecified"}
    if base.status_of("config", "--get", "core.autocrlf").stdout.strip() not in (b"", b"false"):
        converted.update(paths)
    for _ in refused_by(lambda some: base.status_of(*_CHECK_OUT, stdin=some), sorted(converted)):
        pass  # its filter fails, so it cannot be told
    work_tree = git.work_tree or Path()
    return {path for path in converted if same_content(work_tree / path, blank / path)}


def outside_sparse(git: Git, files: Iterable[Entry], folder: Path) -> set[str]:
    """Return the files of a tree that a sparse checkout leaves out, as git itself applies the user's patterns.

    git says so only of what it checks out, so it checks out a tree of the same paths in which every file is empty.
    """
    blank, objects = folder / "sparse", folder / "sparse-objects"
    for made in (blank, objects):
        made.mkdir()
    aside = git.storing(objects)
    empty = aside.at().text("hash-object", "-w", "--stdin")
    emptied = {one.path: (PLAIN, empty) for one in files if one.mode != GITLINK}
    same_paths = aside.at(index=folder / "sparse-index")
    put(same_paths, emptied)
    tree = same_paths.text("write-tree")
    checkout = aside.at(blank, folder / "sparse-checkout-index")
    checkout.call("read-tree", "-m", "-u", tree)
    return {line[2:] for line in fields(checkout.call("ls-files", "-z", "-t")) if line.startswith("S ")}


def collisions(there: Iterable[str], new: Iterable[str]) -> dict[str, str]:
    """Each new path that some file systems take for another one, with that one: they ignore case, or ways to write a letter.

    Folders count, too. Paths that collided before are no concern of ours.
    """
    places: dict[str, str] = {}
    for path in there:
        for part in _upwards(path):
            folded = _folded(part)
            if places.get(folded) == part:
                break  # what is above it has been seen
            places.setdefault(folded, part)
    found = {}
    for path in new:
        for part in _upwards(path):
            other = places.setdefault(_folded(part), part)
            if other != part:
                found[path] = other
    return found


def _upwards(path: str) -> Iterable[str]:
    yield path
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _folded(name: str) -> str:
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def blob_id(place: str, length: int) -> str | None:
    """Return the id, of `length` digits, of a blob that holds the bytes of a file or link; None if it cannot be read."""
    digest = hashlib.new("sha256" if length == 64 else "sha1", usedforsecurity=False)
    try:
        if os.path.islink(place):
            target = os.fsencode(os.readlink(place))
            digest.update(b"blob %d\0%s" % (len(target), target))
            return digest.hexdigest()
        descriptor = open_regular(place)
        if descriptor is None:
            return None
        with open(descriptor, "rb", buffering=0) as file:
            digest.update(b"blob %d\0" % os.fstat(descriptor).st_size)
            while part := file.read(1 << 20):
                digest.update(part)
    except OSError:
        return None
    return digest.hexdigest()
