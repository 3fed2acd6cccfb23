"""The real agents that tests drive: which versions, how they get into the cache, and where they are there.

`PYTHONPATH=tests python -m real_agents.installed NAME ...` installs those that are missing. It may run several times at once.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "branchline-tests" / "agents"
PATIENCE = 600  # seconds that an installer may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An agent as a registry offers it: `packages` of npm, or of PyPI for a Python `program`."""

    program: str
    version: str
    packages: tuple[str, ...]
    python: bool = False

    @property
    def folder(self) -> Path:
        """Where it is, or would be."""
        return CACHE / f"{self.program}-{self.version}"

    @property
    def bin(self) -> Path:
        """The folder that belongs on PATH."""
        return self.folder / ("bin" if self.python else "node_modules/.bin")

    @property
    def present(self) -> bool:
        """Whether it is installed."""
        return (self.bin / self.program).exists()


PACKAGES = {
    one.program: one
    for one in (
        Package(program="claude", version="2.1.197", packages=("@anthropic-ai/claude-code@2.1.197",)),
        Package(program="codex", version="0.169.0", packages=("@openai/codex@0.169.0",)),
        Package(program="qwen", version="0.15.10", packages=("@qwen-code/qwen-code@0.15.10",)),
        Package(program="gemini", version="0.61.0", packages=("@google/gemini-cli@0.61.0",)),
        Package(program="opencode", version="1.18.33", packages=("opencode-ai@1.18.33",)),
        Package(program="pi", version="0.73.1", packages=("@mariozechner/pi-coding-agent@0.73.1",)),
        Package(program="aider", version="0.86.2", packages=("aider-chat==0.86.2",), python=True),
        Package(
            program="mini",
            version="2.4.6",
            packages=("mini-swe-agent==2.4.6", "litellm==1.106.2", "mcp"),  # without mcp that litellm does not start
            python=True,
        ),
    )
}


def install(package: Package) -> str:
    """Install a package into the cache, whole or not at all; what came of it, in a few words."""
    installer = shutil.which("uv" if package.python else "npm")
    if package.present:
        return "is there"
    if installer is None:
        return f"skipped: there is no {'uv' if package.python else 'npm'}"
    began = time.monotonic()
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{package.program}-", dir=CACHE) as temporary:
        problem = _fetch(package, installer, Path(temporary))
        if problem:
            return f"skipped: {problem}"
        if not package.present:
            _put(Path(temporary, "it"), package.folder)
    return f"installed in {time.monotonic() - began:.0f} s"


def _fetch(package: Package, installer: str, temporary: Path) -> str:
    """Install into `temporary`; what went wrong, or nothing."""
    folder = temporary / "it"
    commands = [[installer, "install", "--no-audit", "--no-fund", "--prefix", str(folder), *package.packages]]
    if package.python:
        # Relocatable, because the folder is renamed afterwards.
        venv = [installer, "venv", "--quiet", "--relocatable", "--no-python-downloads", "--python", ">=3.10,<3.13"]
        into = [installer, "pip", "install", "--quiet", "--python", str(folder / "bin/python")]
        commands = [[*venv, str(folder)], [*into, *package.packages]]
    # Installers of agents write to the home of whoever installs them; their caches may stay where they are.
    env = {"HOME": str(temporary / "home"), **_caches()}
    for command in commands:
        try:
            subprocess.run(command, env={**os.environ, **env}, check=True, capture_output=True, timeout=PATIENCE)
        except subprocess.CalledProcessError as error:
            return error.stderr.decode(errors="replace").strip().rpartition("\n")[2] or f"exit code {error.returncode}"
        except subprocess.TimeoutExpired:
            return f"not done after {PATIENCE} s"
    return ""


def _caches() -> dict[str, str]:
    home = Path.home()
    kept = {
        "npm_config_cache": home / ".npm",
        "npm_config_userconfig": home / ".npmrc",
        "UV_CACHE_DIR": home / ".cache/uv",
    }
    return {name: os.environ.get(name) or str(path) for name, path in kept.items()}


def _put(made: Path, place: Path) -> None:
    """Rename into place; whoever came first wins."""
    try:
        made.rename(place)
    except OSError:
        if not place.is_dir():
            raise


def main() -> None:
    """Install the agents named; never fail, for what is missing is skipped by the tests, with its reason."""
    for name in sys.argv[1:]:
        print(f"{name} {PACKAGES[name].version}: {install(PACKAGES[name])}", flush=True)


if __name__ == "__main__":
    main()
