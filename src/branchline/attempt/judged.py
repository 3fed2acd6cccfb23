"""What a batch does to that by which it is judged: its changes and the gates' commands, brought to `core.rules.judges`."""

import os
import posixpath
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from branchline.attempt.run import Place
from branchline.context.code.languages import category_of, language_of
from branchline.core.model.verdict import GateResult
from branchline.core.rules.globs import fold
from branchline.core.rules.judges import Changed, Judging, judges, remarks
from branchline.core.rules.linear import linear
from branchline.core.rules.remark import Remark
from branchline.git.objects import Change, Entry

MAX_CONTENT = 1_000_000  # bytes of one file that are looked through
MAX_IN_ALL = 64_000_000
MAX_READ = 50  # files on the way from the gates' commands
MAX_SCRIPT = 200_000  # bytes of such a file
_WORDS = rb"[\w@./+-]+"
_MODULE = rb"-m[ \t]+([\w.]+)"
_BY_CONVENTION = (
    *("Makefile", "makefile", "GNUmakefile", "justfile", "Justfile", "Taskfile.yml", "Taskfile.yaml", "package.json"),
    *("tox.ini", "noxfile.py", "Rakefile", "composer.json", "deno.json", ".pre-commit-config.yaml", "lefthook.yml"),
)
_SCRIPTS = tuple(
    f".{one}"
    for one in [
        "sh",
        "bash",
        "zsh",
        "fish",
        "py",
        "js",
        "mjs",
        "cjs",
        "ts",
        "rb",
        "pl",
        "php",
        "ps1",
        "bat",
        "cmd",
        "mk",
        "awk",
        "bats",
    ]
)


def judged(
    run: Place, changes: Sequence[Change], base: str, tree: str, results: Iterable[GateResult] = ()
) -> tuple[Remark, ...]:
    """Remarks on `changes`, from the tree `base` to `tree`, and on what gates have left to later ones."""
    if not changes:
        return ()
    entries, new = run.repo.entries(base), run.repo.entries(tree)
    judging = _judging(run, entries, {one.path for one in (*entries, *new)})
    found = remarks(_contents(run, changes), judging)
    made = {path: one.gate for one in [*results][:-1] for path in one.made if judges(path, judging)}
    return (*found, *(Remark(kind="by-product", path=path, detail=f"left by {gate}") for path, gate in made.items()))


def is_test(path: str) -> bool:
    """Whether a file is a test, or is there for tests, by the usual conventions of its language."""
    return category_of(path, language_of(path)) == "tests"


def _contents(run: Place, changes: Sequence[Change]) -> Iterator[Changed]:
    """The changes with their contents, as far as there is room."""
    appeared = {one.new_oid: one.path for one in changes if one.status == "A" and is_test(one.path)}
    files = {
        oid
        for c in changes
        for mode, oid in ((c.old_mode, c.old_oid), (c.new_mode, c.new_oid))
        if mode[:2] in {"10", "12"}
    }
    room, small = MAX_IN_ALL, []
    for oid, size in sorted(run.repo.sizes(files).items()):
        if size <= MAX_CONTENT and size <= room:
            small.append(oid)
            room -= size
    content = dict(run.repo.read_blobs(small))
    for one in changes:
        old = None if one.status == "A" else content.get(one.old_oid, b"")
        new = None if one.status == "D" else content.get(one.new_oid, b"")
        seen = all(oid in content or oid not in files for oid in (one.old_oid, one.new_oid))
        yield Changed(one.path, old, new, appeared.get(one.old_oid, "") if one.status == "D" else "", seen)


def _judging(run: Place, base: Sequence[Entry], paths: set[str]) -> Judging:
    """How the run's gates judge. What their commands name is followed through scripts and build files of the base."""
    named, modules, folders = dict[str, str](), set[str](), set[str]()
    for gate in run.gates:
        folder = "" if gate.cwd == "." else posixpath.normpath(gate.cwd)
        folders.add(folder)
        for argv in filter(None, (gate.verify, gate.fix)):
            text = "\n".join(argv).replace("\n-m\n", "\n-m ").encode("utf-8", "surrogateescape")
            for path in _named_in(text, folder, paths, anywhere=True):
                named.setdefault(path, f"gate {gate.id}")
            modules |= {
                fold(name) for name in (posixpath.basename(argv[0]), *(m.partition(".")[0] for m in _modules(text)))
            }
    for argv in run.settings.setup.run:
        for path in _named_in("\n".join(argv).encode("utf-8", "surrogateescape"), "", paths, anywhere=True):
            named.setdefault(path, "set-up")
    blobs = {one.path: one.oid for one in base if one.kind == "blob"}
    _follow(run, blobs, paths, named, [posixpath.join(one, name) for one in ("", *folders) for name in _BY_CONVENTION])
    there = {path[:at] for path in blobs for at, letter in enumerate(path) if letter == "/"}
    return Judging(is_test, named, modules, folders - {""}, there)


def _follow(
    run: Place, blobs: Mapping[str, str], paths: set[str], named: dict[str, str], conventions: Sequence[str]
) -> None:
    """Add to `named` the scripts that files on the way name, and those that these name, and so on."""
    todo = deque(dict.fromkeys(path for path in (*named, *conventions) if path in blobs))
    read = set[str]()
    while todo and len(read) < MAX_READ:
        path = todo.popleft()
        if path in read or run.repo.sizes([blobs[path]]).get(blobs[path], MAX_SCRIPT) >= MAX_SCRIPT:
            continue
        read.add(path)
        for found in _named_in(run.repo.read_blob(blobs[path]), posixpath.dirname(path), paths):
            is_script = found.endswith(_SCRIPTS) or "." not in posixpath.basename(found)
            if is_script and found not in named and found != path and not is_test(found):
                named[found] = path
                todo += [found] if found in blobs else []


def _named_in(text: bytes, folder: str, paths: set[str], *, anywhere: bool = False) -> list[str]:
    """The files that words of a text name, from the top or from `folder`, and the modules after `-m`.

    `anywhere`: a script's name alone will do, because a command may change folders before.
    """
    words = {os.fsdecode(word) for word in linear(_WORDS).findall(text)}
    words |= {
        name.replace(".", "/") + end for name in _modules(text) for end in (".py", "/__main__.py", "/__init__.py")
    }
    found = set[str]()
    for word in words:
        places = {word, posixpath.normpath(word), posixpath.normpath(posixpath.join(folder, word))} & paths
        if not places and anywhere and word.endswith(_SCRIPTS):
            places = {path for path in paths if path.endswith(f"/{word.removeprefix('./')}")}
        found |= places
    return sorted(found)


def _modules(text: bytes) -> list[str]:
    return [os.fsdecode(name) for name in linear(_MODULE).findall(text)]
