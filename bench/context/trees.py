"""Repositories to measure on, composed of fetched ones: `python -m context.trees KIND --mirror FOLDER --out FOLDER`.

KIND `plain`: 2,700 Python files, 17 MB, one commit: those of ansible, filled up from astropy and sympy. `history`: the
same tree on top of ansible's newest 4,000 commits (its last commit removes what is not Python and adds the filling).
`large`: 50,000 text files, 500 MB, of all fetched repositories, copied with some names changed so that no two are equal.
"""

import argparse
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

BASE, FILLING = "ansible+ansible", ("astropy+astropy", "sympy+sympy")
COMMITS = 4_000
SIZES = {"plain": (2_700, 17_000_000), "history": (2_700, 17_000_000), "large": (50_000, 500_000_000)}
ENDINGS = "py pyi ts tsx js jsx go rs java c h cc cpp cs rb php sh md rst txt yml yaml json toml html css"
TEXT = tuple(f".{ending}" for ending in ENDINGS.split())
SMALLEST, LARGEST = 1_300, 400_000
NAME = re.compile(rb"\b(?:[a-z]+_[a-z_]+|[A-Z][a-z]+[A-Z]\w+)\b")
RENAMED = 3
WHO = {f"GIT_{role}_{what}": "bench@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a fetched repository: which one, its path there, its blob and its size in bytes."""

    source: Path
    path: str
    blob: str
    size: int


def main() -> None:
    """Make one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", choices=SIZES)
    parser.add_argument("--mirror", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", type=int, default=1, help="a tree of 1/PART of the size, to try it out")
    asked = parser.parse_args()
    files, size = (value // asked.part for value in SIZES[asked.kind])
    git(None, "init", "-q", "-b", "main", str(asked.out))
    git(asked.out, "config", "gc.auto", "0")
    if asked.kind == "large":
        large(asked.out, asked.mirror.absolute(), files, size)
    else:
        python(asked.out, asked.mirror.absolute(), files, size, history=asked.kind == "history")
    git(asked.out, "status", "--short")  # git now knows the files by their times, as in any work tree that is worked in


def git(root: Path | None, *args: str, data: str | None = None) -> str:
    """Run git without anyone's configuration and return what it printed, stripped."""
    environ = {**os.environ, **WHO, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    argv = ["git", *(["-C", str(root)] if root else []), *args]
    done = subprocess.run(argv, check=True, env=environ, input=data, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def store(mirror: Path, name: str) -> Path:
    """The git directory of a fetched repository. Raises FileNotFoundError."""
    for path in (mirror / name / "repo" / ".git", mirror / name / "repo"):
        if (path / "objects").is_dir():
            return path
    raise FileNotFoundError(f"{mirror} has no {name}/repo; fetch that repository")


def entries(source: Path, suffixes: tuple[str, ...]) -> list[Entry]:
    """The regular files of its newest commit that end so and are no larger than what a tree takes."""
    found = []
    for line in git(source, "ls-tree", "-r", "-l", "-z", "HEAD").split("\0"):
        head, _, path = line.partition("\t")
        if head.startswith("100") and path.endswith(suffixes) and '"' not in path and "\n" not in path:
            _, _, blob, size = head.split()
            if int(size) <= LARGEST:
                found.append(Entry(source, path, blob, int(size)))
    return found


def fill(pool: Iterable[Entry], files: int, size: int) -> Iterator[Entry]:
    """As many files and bytes as are asked for, in the order given; what is over eight times the mean left is left out."""
    for entry in pool:
        if files <= 0:
            return
        if entry.size <= 8 * size / files:
            files, size = files - 1, size - entry.size
            yield entry


def mixed(pool: Iterable[Entry]) -> list[Entry]:
    """In an order that has nothing to do with folders, the same every time."""
    return sorted(pool, key=lambda entry: sha256(f"{entry.source.parent.name}/{entry.path}".encode()).digest())


def python(out: Path, mirror: Path, files: int, size: int, *, history: bool) -> None:
    """The Python tree; its objects are borrowed, not copied."""
    sources = [store(mirror, name) for name in (BASE, *FILLING)]
    (out / ".git/objects/info/alternates").write_text("".join(f"{source / 'objects'}\n" for source in sources))
    own = [entry for entry in entries(sources[0], (".py",)) if entry.size][:files]
    pool = [entry for source in sources[1:] for entry in entries(source, (".py",))]
    filling = fill(mixed(pool), files - len(own), size - sum(entry.size for entry in own))
    tree = {entry.path: entry.blob for entry in (*filling, *own)}
    git(
        out,
        "update-index",
        "-z",
        "--index-info",
        data="".join(f"100644 {blob}\t{path}\0" for path, blob in tree.items()),
    )
    parents: list[str] = []
    if history:
        newest = git(sources[0], "rev-list", "--first-parent", f"-{COMMITS}", "HEAD").split()
        (out / ".git/shallow").write_text(f"{newest[-1]}\n")
        parents = ["-p", newest[0]]
    git(out, "update-ref", "HEAD", git(out, "commit-tree", "-m", "Compose the tree", *parents, git(out, "write-tree")))
    git(out, "reset", "-q", "--hard")


def large(out: Path, mirror: Path, files: int, size: int) -> None:
    """The large tree, in one pack and one commit."""
    sources = [store(mirror, path.parent.name) for path in sorted(mirror.glob("*/repo"))]
    pool = mixed(entry for source in sources for entry in entries(source, TEXT) if entry.size >= SMALLEST)
    if not pool:
        raise FileNotFoundError(f"{mirror} has no repositories")
    again = (entry for _ in range(1 + files // len(pool) * 2) for entry in pool)
    writer = subprocess.Popen(["git", "-C", str(out), "fast-import", "--quiet", "--depth=0"], stdin=subprocess.PIPE)
    assert writer.stdin is not None
    writer.stdin.write(b"commit refs/heads/main\ncommitter bench <bench@localhost> 1700000000 +0000\ndata 0\n")
    copies: Counter[tuple[Path, str]] = Counter()
    numbered = list(enumerate(fill(again, files, size)))
    for source in sources:
        mine = [(number, entry) for number, entry in numbered if entry.source == source]
        for (number, entry), data in zip(mine, blobs(source, [entry.blob for _, entry in mine]), strict=True):
            copies[source, entry.path] += 1
            name = f"copy{copies[source, entry.path]}/{source.relative_to(mirror).parts[0]}/{entry.path}"
            text = renamed(data, number)
            writer.stdin.write(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(text), text))
    writer.stdin.close()
    if writer.wait():
        raise RuntimeError("git fast-import failed")
    git(out, "reset", "-q", "--hard")


def blobs(source: Path, ids: Sequence[str]) -> Iterator[bytes]:
    """The bytes of each blob in turn; none of one that a snapshot lacks."""
    for start in range(
        0, len(ids), 500
    ):  # fewer answers than would fill memory, fewer questions than would fill a pipe
        asked = "".join(f"{one}\n" for one in ids[start : start + 500]).encode()
        batch = ["git", "--git-dir", str(source), "cat-file", "--batch"]
        answers = subprocess.run(batch, input=asked, check=True, stdout=subprocess.PIPE).stdout
        at = 0
        while at < len(answers):
            head, _, _ = answers[at : at + 200].partition(b"\n")
            words = head.split()
            length = int(words[2]) if len(words) == 3 else -1
            begin = at + len(head) + 1
            yield answers[begin : begin + length]
            at = begin + length + 1


def renamed(data: bytes, number: int) -> bytes:
    """A text with its commonest compound names changed; with a last line of its own where it has none."""
    names = [name for name, _ in Counter(NAME.findall(data)).most_common(RENAMED)]
    if not names:
        return b"%s\n%d\n" % (data, number)
    return re.sub(rb"\b(%s)\b" % b"|".join(names), rb"\g<1>_%d" % number, data)


if __name__ == "__main__":
    main()
