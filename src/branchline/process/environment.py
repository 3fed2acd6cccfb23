"""What a child process may see of our environment: an allow-list, never a deny-list."""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

TOOL_HOMES = {
    "RUSTUP_HOME": ".rustup",
    "VOLTA_HOME": ".volta",
    "ASDF_DATA_DIR": ".asdf",
    "MISE_DATA_DIR": ".local/share/mise",
    "PYENV_ROOT": ".pyenv",
    "RBENV_ROOT": ".rbenv",
    "NODENV_ROOT": ".nodenv",
    "GOENV_ROOT": ".goenv",
    "JENV_ROOT": ".jenv",
    "NVM_DIR": ".nvm",
    "SDKMAN_DIR": ".sdkman",
    "UV_PYTHON_INSTALL_DIR": ".local/share/uv/python",
}
"""Where version managers keep what they have installed: a variable, and the folder of the home without it."""

ALLOWED = frozenset(
    {
        *TOOL_HOMES,
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR", "VIRTUAL_ENV"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "PIP_CERT"),
    }
)


def allowed(
    environ: Mapping[str, str], *, pass_: Iterable[str] = (), extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the variables of `environ` that a child may see, those named in `pass_`, and `extra` over both.

    No GIT_* variable ever passes: one of them is enough to send a git command to another repository.
    """
    wanted = ALLOWED | set(pass_)
    child = {name: value for name, value in environ.items() if name in wanted or name.startswith("LC_")}
    child |= extra or {}
    # Our interpreter's folder is the last one, so that `python -m pytest` finds one where ours is the only one.
    path, ours = child.get("PATH", os.defpath), str(Path(sys.executable).parent)
    child["PATH"] = path if ours in path.split(os.pathsep) else f"{path}{os.pathsep}{ours}"
    return {name: value for name, value in child.items() if not name.startswith("GIT_")}


def tool_homes(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a command with a home of its own needs to find the tools of the user's: `cargo` of rustup, for one."""
    home = Path(environ.get("HOME") or os.devnull)
    unset = {name: home / folder for name, folder in TOOL_HOMES.items() if not environ.get(name)}
    return {name: str(place) for name, place in unset.items() if place.is_dir()}
