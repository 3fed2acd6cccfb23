"""Questions about the machine: room on its disks, locks, temporary files, the variables that commands do not get."""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from branchline.attempt.preflight.remark import Remark
from branchline.process.environment import ALLOWED

LEAST_FREE_MB = 200
SOCKET_BYTES = 107  # of a path (unix(7)), less the end mark
THEIR_SOCKET = len("/pymp-12345678/listener-12345678")  # Python's multiprocessing; others are shorter
STATE = "export BRANCHLINE_STATE=FOLDER"
HANDED_ON = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO"),
    *("JAVA_HOME", "MAVEN_OPTS", "GRADLE_USER_HOME", "ANDROID_HOME", "DOTNET_ROOT", "GOROOT", "GOPATH", "GOPROXY"),
    *("GOPRIVATE", "GOFLAGS", "CARGO_HOME", "RUSTUP_TOOLCHAIN", "PNPM_HOME", "CONDA_PREFIX"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "NPM_CONFIG_REGISTRY"),
    *("npm_config_registry", "NODE_OPTIONS", "PYTHONPATH", "LD_LIBRARY_PATH", "PKG_CONFIG_PATH", "CUDA_HOME"),
)
"""Variables that tools need on some machines, and that no command gets unless `env:` names them."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder as its disk is: `executable`: programs may be started from it; `locks`: files in it can be locked."""

    folder: Path
    free_mb: int
    executable: bool = True
    locks: bool = True


def observed(folder: Path, *, lock: Path | None = None) -> Disk:
    """Look at the disk of a folder, or of the first one above it that is there; `lock`: a file to try locks on."""
    place = next(one for one in (folder, *folder.parents) if one.exists())
    executable = not os.statvfs(place).f_flag & os.ST_NOEXEC
    return Disk(folder, shutil.disk_usage(place).free // 2**20, executable, lock is None or _locks(lock))


def of_disks(record: Disk, work: Disk) -> Iterator[Remark]:
    """What the places of a run's record and of its work cannot do."""
    for disk, command in ((record, ""), (work, STATE)):
        if disk.free_mb < LEAST_FREE_MB:
            yield Remark("disk", f"only {disk.free_mb} MB are free on the disk of {disk.folder}", command, stops=True)
    if not record.locks:
        text = f"files in {record.folder} cannot be locked, so two processes could drive one run"
        yield Remark("disk", text, "mount that disk with locks, or move the repository", stops=True)
    if not work.executable:
        text = f"the disk of {work.folder} is mounted noexec: programs that lie in the repository cannot be run there"
        yield Remark("disk", text, STATE)


def of_room(room: Path) -> Iterator[Remark]:
    """Whether the sockets of agents' tools fit into the folder for temporary files that agents get below `room`."""
    if len(os.fsencode(room / "tmp")) + THEIR_SOCKET > SOCKET_BYTES:
        text = f"the work area is too long for the sockets of agents' tools: {room}"
        yield Remark("work area", text, STATE)


def of_environment(environ: Mapping[str, str], named: Iterable[str]) -> Iterator[Remark]:
    """Variables that are set here, that tools often need, and that agents and gates do not get."""
    kept_back = [name for name in HANDED_ON if environ.get(name) and name not in {*ALLOWED, *named}]
    if kept_back:
        text = f"set here, and not handed on to agents and gates: {', '.join(kept_back)}"
        yield Remark(
            "environment", text, f"env: [{', '.join([*named, *kept_back])}]  # in branchline.yaml, if they are needed"
        )


def _locks(file: Path) -> bool:
    """Whether a file can be locked; another who holds a lock proves that."""
    with file.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return isinstance(error, BlockingIOError)
    return True
