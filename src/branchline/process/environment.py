"""What a child process may see of our environment: an allow-list, never a deny-list."""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ALLOWED = frozenset(
    {
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
