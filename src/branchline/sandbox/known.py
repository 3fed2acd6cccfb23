"""What trying the sandbox has shown before, on the same ground: as long as nothing has changed, it is not tried again."""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from branchline._version import __version__
from branchline.core.model.sandbox import Network, SandboxFact

MOST = 16  # facts; of as many settings and machines as share one home
SYSTEM = (
    *("kernel/unprivileged_userns_clone", "kernel/apparmor_restrict_unprivileged_userns"),
    *("user/max_user_namespaces", "user/max_mnt_namespaces", "user/max_pid_namespaces", "user/max_net_namespaces"),
)
PROCESS = ("Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")


class Known:
    """Facts in a file of the user's cache; without one, nothing is known. A failure is never remembered."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        cache = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME") or "/", ".cache")
        self._file = Path(cache, "branchline/sandbox.json") if os.path.isabs(cache) else None

    def fact(self, program: str, network: Network) -> SandboxFact | None:
        """What is known of a bubblewrap with a network."""
        return self._all().get(_key(program, network))

    def add(self, fact: SandboxFact, network: Network) -> None:
        """Remember one that held."""
        if self._file is None:
            return
        facts = {_key(fact.program, network): fact, **self._all()}
        kept = dict([*facts.items()][:MOST])
        with suppress(OSError):  # a cache that cannot be written is none
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._file.parent)
            with open(descriptor, "wb") as file:
                file.write(msgspec.json.encode(kept))
            os.replace(name, self._file)

    def _all(self) -> dict[str, SandboxFact]:
        if self._file is not None:
            with suppress(OSError, msgspec.MsgspecError):
                return msgspec.json.decode(self._file.read_bytes(), type=dict[str, SandboxFact])
        return {}


def _key(program: str, network: Network) -> str:
    """Names all that the outcome can depend on."""
    ground = [__version__, sys.executable, __file__, program, network, *_ground(program)]
    return hashlib.sha256(json.dumps(ground).encode()).hexdigest()


def _ground(program: str) -> Iterator[object]:
    """The kernel, the program, and what this process may do: a container can have the same home and kernel."""
    yield os.uname().release
    with suppress(OSError):
        found = os.stat(program)
        yield found.st_mtime_ns, found.st_size, found.st_mode
    for name in ("user", "mnt", "pid"):
        with suppress(OSError):
            yield os.readlink(f"/proc/self/ns/{name}")
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        yield [line for line in lines if line.partition(":")[0] in PROCESS]
    for name in SYSTEM:
        with suppress(OSError):
            yield name, Path("/proc/sys", name).read_text(encoding="utf-8").strip()
