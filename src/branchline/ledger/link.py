"""Whether a tool of the project would follow the link `.runs` in the checkout into the record.

docs/record-link.md has the experiment behind each rule: which programs follow the link, and which settings stop them.
The files that say so are the project's own, so they may be missing, broken or of any shape: what cannot be read says no.
"""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXCLUDES = {".runs", ".runs/*", ".runs/**", ".*"}
MANIFEST = re.compile(r"^[ \t]*(global-include|(graft|recursive-include)[ \t]+(\.(?![\w-])|\.runs\b|\*))", re.MULTILINE)
PRUNED = re.compile(r"^[ \t]*prune[ \t]+\.runs/?[ \t]*$", re.MULTILINE)
PACKAGES = ("vitest", "@biomejs/biome", "vite")
PRETTIER = re.compile(r"\D*[12]\b")  # Prettier 3 no longer follows links
NODE_TEST = re.compile(r"\bnode\s(.*\s)?--test\b")


def followed_by(root: Path) -> str:
    """The tool of the project in `root` that would follow the link, or "" if none would. Reads small files only."""
    pyproject = _parsed(root / "pyproject.toml", tomllib.loads)
    backend = str(_table(pyproject, "build-system").get("build-backend", "setuptools"))
    if backend.startswith("hatchling") and _hatchling_takes(_table(pyproject, "tool", "hatch", "build"), root):
        return "hatchling"
    manifest = _text(root / "MANIFEST.in")
    if backend.startswith("setuptools") and MANIFEST.search(manifest) and not PRUNED.search(manifest):
        return "setuptools"
    package = _parsed(root / "package.json", json.loads)
    needed = {**_table(package, "dependencies"), **_table(package, "devDependencies")}
    for name in PACKAGES:
        if name in needed:
            return name
    if PRETTIER.match(str(needed.get("prettier", ""))):
        return "prettier"
    return "node --test" if any(map(NODE_TEST.search, map(str, _table(package, "scripts").values()))) else ""


def _hatchling_takes(build: dict[str, Any], root: Path) -> bool:
    """Hatchling walks through links into every folder, and knows the top folder's `.gitignore`, not `info/exclude`."""
    settings = {**build, **_table(build, "targets", "sdist")}
    patterns = [*_words(settings.get("exclude"))]
    if settings.get("ignore-vcs") is not True:
        patterns += _text(root / ".gitignore").splitlines()
    if any(pattern.strip().strip("/") in EXCLUDES for pattern in patterns):
        return False
    if only := [*_words(settings.get("only-include")), *_words(settings.get("packages"))]:
        return any(path.removeprefix("./").strip("/") in {"", ".", ".runs"} for path in only)
    include = list(_words(settings.get("include")))
    return not include or not all(map(_anchored, include))


def _anchored(pattern: str) -> bool:
    """Whether a pattern, in the form of `.gitignore`, names a place below the top, and not a name in any folder."""
    first, slash, rest = pattern.removeprefix("/").partition("/")
    named = first not in {"", "**", "*", ".*", ".runs"}
    return named and (pattern.startswith("/") or bool(slash and rest))


def _words(value: object) -> list[str]:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def _table(value: object, *keys: str) -> dict[str, Any]:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _parsed(path: Path, parse: Callable[[str], object]) -> object:
    try:
        return parse(_text(path))
    except (ValueError, RecursionError):
        return {}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return ""
