"""Gates for what a repository already uses, so that a configuration need not spell them out."""

import configparser
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from branchline.core.model.verdict import Gate

PYTHON_FILES = ("**/*.py", "**/*.pyi", "**/*.ipynb", "**/pyproject.toml", "**/ruff.toml", "**/.ruff.toml")
TYPE_FILES = ("**/*.py", "**/*.pyi", "**/pyproject.toml", "**/setup.cfg", "**/mypy.ini", "**/.mypy.ini")
MYPY_TARGETS = ("files", "packages", "modules")


def expand(presets: Iterable[str], *, root: Path) -> tuple[Gate, ...]:
    """The gates of the presets, names that `branchline.yaml` may hold, for the repository at `root`."""
    known = {"python": _python, "pre-commit": _pre_commit, "gitleaks": _gitleaks}
    return tuple(gate for preset in presets for gate in known[preset](root))


def _python(root: Path) -> list[Gate]:
    gates = [
        Gate(
            id="ruff",
            kind="lint",
            fix=("ruff", "check", "--fix", "--quiet", "."),
            verify=("ruff", "check", "."),
            error_codes=(2,),
            when=PYTHON_FILES,
        ),
        Gate(
            id="ruff-format",
            kind="format",
            fix=("ruff", "format", "--quiet", "."),
            verify=("ruff", "format", "--check", "."),
            fix_ok_codes=(0,),
            when=PYTHON_FILES,
        ),
    ]
    if (mypy := _mypy_settings(root)) is not None:
        targets = () if any(name in mypy for name in MYPY_TARGETS) else (".",)
        gates.append(Gate(id="mypy", kind="types", verify=("mypy", *targets), when=TYPE_FILES))
    # No `when`: data and templates break tests as well as code does.
    argv = ("python", "-m", "pytest", "-q")
    gates.append(Gate(id="pytest", kind="test", verify=argv, skip_codes=(5,), error_codes=(3, 4), timeout="30m"))
    return gates


def _pre_commit(root: Path) -> list[Gate]:
    if not (root / ".pre-commit-config.yaml").is_file():
        return []
    argv = ("prek", "run", "--files", "{files}")
    return [Gate(id="pre-commit", fix=argv, verify=argv, error_codes=(2,), timeout="30m")]


def _gitleaks(_root: Path) -> list[Gate]:
    # Gitleaks 8.19 or newer ends with 1 where it cannot scan and with 126 at an option that it does not know
    # (cmd/root.go of its source), and with 1 where it finds something, unless that is given another code.
    argv = ("gitleaks", "dir", "--no-banner", "--no-color", "--redact", "--verbose", "--exit-code", "3", ".")
    return [Gate(id="gitleaks", kind="secrets", verify=argv, error_codes=(1, 126))]


def _mypy_settings(root: Path) -> Mapping[str, object] | None:
    """What mypy itself would read: the first of its files that speaks of mypy."""
    for name in ("mypy.ini", ".mypy.ini", "setup.cfg"):
        ini = configparser.RawConfigParser(strict=False)
        with suppress(configparser.Error, UnicodeDecodeError):
            ini.read(root / name, encoding="utf-8")
        if "mypy" in ini:
            return ini["mypy"]
        if "mypy" in name and (root / name).is_file():
            return {}
    try:
        tool = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")).get("tool")
    except (OSError, ValueError):
        return None
    mypy = tool.get("mypy") if isinstance(tool, dict) else None
    return mypy if isinstance(mypy, dict) else None
