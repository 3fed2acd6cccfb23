"""Ways from the commands of a workspace back into the user's checkout.

Package managers install by reference: `pip install -e .` leaves a `.pth` file or a finder with a path in it, npm, pnpm and
yarn link the packages of a workspace, a shell has programs of the checkout on its PATH. A gate that loads code by one of
them tests the user's files, and says nothing of the batch.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from branchline.config.settings import Setup
from branchline.core.model.verdict import Gate
from branchline.core.rules.linear import compiled
from branchline.git.folders import text_of

USUAL = (".venv", "venv", "node_modules")
SITES = ("lib/python3*/site-packages", "lib/python3*/dist-packages", "local/lib/python3*/dist-packages")
SHIMS = ("versions/*", "installs/python/*")  # of pyenv, of asdf
HARMLESS = frozenset({"PATH", "VIRTUAL_ENV", "HOME", "TMPDIR"})
FINDER = compiled(r"\A\s*+import\s++(\w+)")
QUOTED = compiled(r"""["'](/[^"'\n]+)["']""")


def ways_back(
    root: Path,
    environ: Mapping[str, str],
    setup: Setup,
    gates: Iterable[Gate] = (),
    tree: Path | None = None,
    *,
    sandboxed: bool = False,
) -> list[str]:
    """The ways into the checkout at `root`, a sentence each, none if there is no way.

    `environ`: what the gates' commands see; `tree`: the workspace in which they run, once there is one. `sandboxed`: it
    stands at the checkout's place, so only a copy of what was in the checkout is another code.
    """
    checkout, given = _Checkout(Path(os.path.realpath(root))), tuple(gates)
    linked = [root / name for name in setup.symlink]
    copied = [root / name.split("/", 1)[0] for name in setup.copy]
    inside = [] if tree is None else [tree / name for name in (*setup.symlink, *USUAL)]
    variables = [*environ.items(), *(pair for gate in given for pair in gate.env.items())]
    programs = [Path(word) for gate in given for word in (gate.verify[0], *(gate.fix or ())[:1]) if word[:1] == "/"]
    paths = [
        Path(part) for name, value in variables if name == "PATH" for part in value.split(os.pathsep) if part[:1] == "/"
    ]
    prefixes = _prefixes(environ, [*paths, *(program.parent for program in programs)], [*linked, *copied, *inside])
    if sandboxed:
        own = [] if tree is None else [root / name for name in USUAL if _is_environment(tree / name)]
        outside = [
            prefix for prefix in prefixes if prefix not in own and (tree is None or not prefix.is_relative_to(tree))
        ]
        return list(dict.fromkeys(way for prefix in outside for way in checkout.by_origin(prefix, editable=False)))
    found = [
        *(way for folder in paths for way in checkout.by_programs(folder)),
        *(
            way
            for prefix in prefixes
            for way in (*checkout.by_python(prefix), *checkout.by_origin(prefix, editable=False))
        ),
        *(way for folder in (*linked, *inside) for way in checkout.by_links(folder)),
        *(way for name, value in variables if name not in HARMLESS for way in checkout.by_variable(name, value)),
        *(way for gate in given for way in checkout.by_command(gate)),
    ]
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class _Checkout:
    """The user's checkout: its real path."""

    root: Path

    def holds(self, path: str | Path, but: Path | None = None) -> bool:
        """Whether a path leads into the checkout, and not into the environment `but` in it."""
        real = Path(os.path.realpath(path))
        inside = real.is_relative_to(self.root) and not real.is_relative_to(self.root / ".git")
        return inside and (but is None or not real.is_relative_to(os.path.realpath(but)))

    def by_python(self, prefix: Path) -> Iterator[str]:
        """What a Python environment has installed by reference."""
        for pth in _in_sites(prefix, "*.pth"):
            yield from (f"{pth} leads to {path}" for path in self._led_to(pth, prefix))
        yield from self.by_origin(prefix, editable=True)

    def by_origin(self, prefix: Path, *, editable: bool) -> Iterator[str]:
        """What a Python environment has installed from the checkout, by reference or as a copy."""
        what = "is installed from" if editable else "is a copy of what was in"
        for file in _in_sites(prefix, "*.dist-info/direct_url.json"):
            url, by_reference = _origin(file)
            if url and by_reference is editable and self.holds(url, prefix):
                yield f"{file.parent.name.rpartition('.')[0]} in {file.parent.parent} {what} {url}"

    def _led_to(self, pth: Path, prefix: Path) -> Iterator[str]:
        """The paths that a `.pth` file adds, and those in the finders that it imports (docs.python.org, site)."""
        for line in text_of(pth).splitlines():
            if finder := FINDER.match(line):
                named = QUOTED.findall(text_of(pth.with_name(f"{finder[1]}.py")))
                yield from (path for path in dict.fromkeys(named) if self.holds(path, prefix))
            elif line.strip() and not line.startswith("#") and self.holds(path := pth.parent / line.strip(), prefix):
                yield os.path.normpath(path)

    def by_links(self, folder: Path) -> Iterator[str]:
        """Links to packages of the checkout in a shared folder, such as those of npm workspaces."""
        for entry in _entries(folder):
            deeper = entry.name.startswith("@") or entry.name == ".bin"
            for one in _entries(Path(entry)) if deeper and not entry.is_symlink() else (entry,):
                if one.is_symlink() and self.holds(one.path, folder):
                    yield f"{one.path} is a link to {os.path.realpath(one.path)}"

    def by_programs(self, folder: Path) -> Iterator[str]:
        """Programs of the checkout itself; those of an environment or of node_modules come from elsewhere."""
        if folder.name == ".bin":
            yield from self.by_links(folder.parent)
        elif not _is_environment(folder.parent) and self.holds(folder):
            yield f"PATH has {folder}"

    def by_variable(self, name: str, value: str) -> Iterator[str]:
        """A variable with a path of the checkout, such as PYTHONPATH."""
        parts = (part for part in value.split(os.pathsep) if part.startswith("/"))
        yield from (f"the variable {name} has {part}" for part in parts if self.holds(part))

    def by_command(self, gate: Gate) -> Iterator[str]:
        """A gate that names the checkout's own path."""
        named = compiled(rf"(?<![\w/.-]){re.escape(str(self.root))}(?![\w.-])[^\s'\";]*")
        for path in (path for word in (*gate.verify, *(gate.fix or ())) for path in named.findall(word)):
            folder = Path(path).parent
            if not (folder.name == "bin" and _is_environment(folder.parent)):
                yield f"gate {gate.id} names {path}"


def _prefixes(environ: Mapping[str, str], paths: Iterable[Path], shared: Iterable[Path]) -> list[Path]:
    """The Python environments that a command can come upon."""
    found = [Path(environ["HOME"]) / ".local"] if environ.get("HOME") else []
    found += [Path(environ["VIRTUAL_ENV"])] if environ.get("VIRTUAL_ENV") else []
    for folder in paths:
        python = next((one for name in ("python3", "python") if (one := folder / name).exists()), None)
        if folder.name == "shims":
            found += [prefix for pattern in SHIMS for prefix in folder.parent.glob(pattern)]
        elif python is not None:
            found += [folder.parent, Path(os.path.realpath(python)).parent.parent]
    return list(dict.fromkeys([*found, *filter(_is_environment, shared)]))


def _in_sites(prefix: Path, pattern: str) -> list[Path]:
    return sorted({file for site in SITES for file in prefix.glob(f"{site}/{pattern}")})


def _is_environment(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").is_file()


def _origin(file: Path) -> tuple[str, bool]:
    """The folder that a package was installed from (packaging.python.org, "direct_url.json"), and whether by reference."""
    try:
        said = json.loads(text_of(file))
        url, editable = urlsplit(said["url"]), bool(said["dir_info"].get("editable"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", False
    return (unquote(url.path) if url.scheme == "file" else ""), editable


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)
    return []
