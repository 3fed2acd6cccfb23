"""Every way to tamper with a finished run: each of its files, refs, objects and records, one at a time, put back after."""

import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support import Project

RECORDS = (
    "cut the last",
    "cut three",
    "cut to the middle",
    "drop one",
    "swap two",
    "change a byte",
    "append garbage",
    "write one twice",
)


@dataclass(frozen=True)
class Tampering:
    """What is done to what: `place` is a name that `verify` must say something about, or list as not covered."""

    kind: str
    place: str
    how: str

    def __str__(self) -> str:
        return f"{self.kind} {self.place}: {self.how}"


def changes(data: bytes, other: bytes) -> dict[str, bytes | None]:
    """Each way to change a file, and what it holds then (None: it is deleted); only those that change something."""
    at = len(data) // 2
    made: dict[str, bytes | None] = {
        "change a byte": data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if data else None,
        "truncate": data[:at],
        "empty": b"",
        "delete": None,
        "replace": b"something else\n",
        "append": data + b"\n",
        "swap": other,
    }
    return {how: new for how, new in made.items() if new != data}


@contextmanager
def put(path: Path, data: bytes | None) -> Iterator[None]:
    """A file with another content, as it was afterwards."""
    before, mode = path.read_bytes(), path.stat().st_mode
    try:
        path.unlink()
        if data is not None:
            path.write_bytes(data)
        yield
    finally:
        path.unlink(missing_ok=True)
        path.write_bytes(before)
        path.chmod(mode)


class Finished:
    """A finished run and all that can be done to it."""

    def __init__(self, project: Project, run: str) -> None:
        self.project, self.run = project, run
        self.folder = (project.root / ".runs" / run).resolve()
        self.common = project.root / ".git"

    def files(self) -> list[str]:
        """Every file of the run, but the ledger."""
        found = (path.relative_to(self.folder).as_posix() for path in sorted(self.folder.rglob("*")) if path.is_file())
        return [name for name in found if name != "logs/run.jsonl"]

    def refs(self) -> dict[str, str]:
        """Every ref that the run made."""
        told = self.project.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return {ref: oid for ref, oid in map(str.split, told) if self.run in ref}

    def objects(self) -> dict[str, str]:
        """Every loose object that a ref of the run leads to, by its kind."""
        made = self.project.git("rev-list", "--objects", "--no-object-names", *self.refs(), "main").split()
        asked = self.project.git("cat-file", "--batch-all-objects", "--batch-check").splitlines()
        kinds = {line.split()[0]: line.split()[1] for line in asked}
        return {oid: kinds[oid] for oid in made if self._loose(oid).exists()}

    def _loose(self, oid: str) -> Path:
        return self.common / "objects" / oid[:2] / oid[2:]

    def all(self) -> list[Tampering]:
        """The whole matrix, in one order."""
        found = []
        names = self.files()
        for number, file in enumerate(names):
            data, other = ((self.folder / one).read_bytes() for one in (file, names[number - 1]))
            found += [Tampering("file", file, how) for how in changes(data, other)]
        found += [
            Tampering("file", "artifacts/planted.txt", "add"),
            Tampering("file", "checkpoints/task_099_x.json", "add"),
        ]
        refs = self.refs()
        for ref, before in zip(refs, [list(refs)[-1], *refs], strict=False):
            branch = "refs/heads/" in ref + before  # holds commits only, and the mark is none
            hows = ("delete", "move") if branch or refs[ref] == refs[before] else ("delete", "move", "swap")
            found += [Tampering("ref", ref, how) for how in hows]
        for oid in self.objects():
            found += [
                Tampering("object", oid, how) for how in ("delete", "flip", "empty", "other content", "other object")
            ]
        found += [Tampering("records", self.run, how) for how in RECORDS]
        return found

    @contextmanager
    def done(self, what: Tampering) -> Iterator[None]:
        """The run with that done to it."""
        make: Callable[[Tampering], object] = {
            "file": self._file,
            "ref": self._ref,
            "object": self._object,
            "records": self._records,
        }[what.kind]
        with make(what):  # type: ignore[attr-defined]
            yield

    @contextmanager
    def _file(self, what: Tampering) -> Iterator[None]:
        path, names = self.folder / what.place, self.files()
        if what.how == "add":
            path.write_text("{}")
            try:
                yield
            finally:
                path.unlink()
            return
        other = (self.folder / names[names.index(what.place) - 1]).read_bytes()
        with put(path, changes(path.read_bytes(), other)[what.how]):
            yield

    @contextmanager
    def _ref(self, what: Tampering) -> Iterator[None]:
        refs = self.refs()
        names = list(refs)
        other = names[names.index(what.place) - 1]
        moved = next(oid for oid in self.project.git("rev-list", "main").split() if oid != refs[what.place])
        order = {
            "delete": f"delete {what.place}\n",
            "move": f"update {what.place} {moved}\n",
            "swap": f"update {what.place} {refs[other]}\nupdate {other} {refs[what.place]}\n",
        }[what.how]
        self._update(order)
        try:
            yield
        finally:
            self._update("".join(f"update {ref} {oid}\n" for ref, oid in refs.items()))

    def _update(self, order: str) -> None:
        scratch = self.project.root.parent / "order"
        scratch.write_text(order)
        self.project.git("-c", "alias.feed=!git update-ref --stdin < " + str(scratch), "feed")

    @contextmanager
    def _object(self, what: Tampering) -> Iterator[None]:
        path = self._loose(what.place)
        data = path.read_bytes()
        plain = zlib.decompress(data)
        another = next(one for one in self.objects() if one != what.place)
        at = len(data) - 3
        new = {
            "delete": None,
            "flip": data[:at] + bytes([data[at] ^ 8]) + data[at + 1 :],
            "empty": b"",
            "other content": zlib.compress(plain[:-1] + bytes([plain[-1] ^ 1])),
            "other object": self._loose(another).read_bytes(),
        }[what.how]
        with put(path, new):
            yield

    @contextmanager
    def _records(self, what: Tampering) -> Iterator[None]:
        """The ledger with other records; the mark beside it is written anew, as somebody who knows of it would do."""
        ledger, head = self.folder / "logs" / "run.jsonl", self.folder / "logs" / "run.head"
        lines = ledger.read_bytes().splitlines(keepends=True)
        middle = len(lines) // 2
        new = {
            "cut the last": lines[:-1],
            "cut three": lines[:-3],
            "cut to the middle": lines[:middle],
            "drop one": lines[:middle] + lines[middle + 1 :],
            "swap two": [*lines[:middle], lines[middle + 1], lines[middle], *lines[middle + 2 :]],
            "change a byte": [*lines[:middle], lines[middle].replace(b'"epoch":1', b'"epoch":2'), *lines[middle + 1 :]],
            "append garbage": [*lines, b'{"v":2}\n'],
            "write one twice": [*lines, lines[-1]],
        }[what.how]
        last = json.loads(new[-1])
        mark = b"%020d %s\n" % (last.get("seq", 0), last.get("sha", "").encode())
        with put(ledger, b"".join(new)), put(head, mark):
            yield


def said_of(what: Tampering, verdict: dict[str, object], code: int) -> str:
    """Whether a verdict knows of it: `noticed`, `not covered`, or empty."""
    said = json.dumps(verdict["differences"]) + json.dumps(verdict["fault"])
    short = what.place[:12] if what.kind == "object" else what.place
    if code == 1 or short in said or (what.place.endswith("run.head") and "run.head" in said):
        return "noticed"
    listed = verdict["not_covered"]
    assert isinstance(listed, list)
    top = what.place.partition("/")[0]
    return "not covered" if any(one == what.place or one.startswith(f"{top}/ (") for one in listed) else ""
