"""Inside the sandbox: tries what must work there, and what must not.

`probe_runner.py PLACE.json` prints one JSON object: what was tried, and whether it was `allowed` or `denied`. Standard
library only, and little of it.
"""

import ctypes
import json
import os
import socket
import subprocess  # noqa: TID251 - of the package that may
import sys
from contextlib import suppress
from types import SimpleNamespace as Place

TYPE_CHECKING = False  # as in typing, which costs more to import than all the rest
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

OWN_VARIABLES = {"PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE", "NODE_USE_ENV_PROXY", "no_proxy", "NO_PROXY"}
MNT_DETACH = 2
NEW = os.O_WRONLY | os.O_CREAT
CLONE_NEWNS_NEWUSER = 0x10020000
ELSEWHERE = ("192.0.2.1", 9)  # set aside for documentation: nobody answers
SECONDS = 0.2
VSOCK = 40
OTHER_FAMILIES = (VSOCK, 38, 31, 30, 29, 42)  # of the kernel's ciphers, Bluetooth, TIPC, CAN, Qualcomm's processors
GENERIC_CALLS = {"keyctl": 219, "io_uring_setup": 425}
CALLS = {"x86_64": {**GENERIC_CALLS, "keyctl": 250}}
USERS_KEYRING = -4
ELSEWHERE_ON_DISK = ("/srv", "/boot", "/mnt", "/var/log", "/var/backups", "/lost+found")


def reach(path: str, flags: int = os.O_RDONLY) -> None:
    """Open a file, or fail. Nothing is written: the sandbox may not hold."""
    os.close(os.open(path, flags, 0o600))


def git(place: Place, *args: str) -> bool:
    """Whether git does it in the workspace."""
    settings = ("-c", "user.name=probe", "-c", "user.email=probe@localhost")
    done = subprocess.run(["git", *settings, *args], cwd=place.main, capture_output=True, check=False)
    return done.returncode == 0


def connect(port: int) -> bool:
    """Whether somebody of the host answers at a port of loopback."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
        return client.recv(5) == b"probe"


def own_loopback() -> None:
    """Have a server and its client in here find each other."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        socket.create_connection(server.getsockname(), timeout=SECONDS).close()


def dial(family: int, kind: int, address: "tuple[str, int] | str") -> None:
    """Connect, or fail; a time-out means that packets find a way out."""
    with socket.socket(family, kind) as client, suppress(TimeoutError):
        client.settimeout(SECONDS)
        client.connect(address)


def sees_coordinator(place: Place) -> bool:
    """Whether the process that started us is in our /proc: the same number, begun at the same time."""
    with open(f"/proc/{place.pid}/stat") as file:
        return bool(file.read().rpartition(")")[2].split()[19] == place.started)


def kill(place: Place) -> bool:
    """Whether the coordinator can be sent a signal."""
    if seen := sees_coordinator(place):
        os.kill(place.pid, 0)
    return seen


def foreign_variables(place: Place) -> bool:
    """Whether the environment of any process in here has a variable that we were not given."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/environ", "rb") as file:
                    names = {os.fsdecode(one.partition(b"=")[0]) for one in file.read().split(b"\0") if one}
            except OSError:
                continue
            proxies = {name for name in names if name.lower().endswith("_proxy")}
            if names.difference(place.variables, OWN_VARIABLES, proxies):
                return True
    return False


def called(name: str, *args: "Any") -> bool:
    """Whether a call of the C library succeeds."""
    return bool(getattr(ctypes.CDLL(None, use_errno=True), name)(*args) == 0)


def uncover(folder: str, secret: str) -> bool:
    """Whether the cover over a folder can be taken away, also by one who is root in a namespace of his own."""
    child = os.fork()
    if child == 0:
        called("unshare", CLONE_NEWNS_NEWUSER)
        called("umount2", os.fsencode(folder), MNT_DETACH)
        os._exit(0 if os.path.exists(secret) else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def write_outside(place: Place) -> bool:
    """Whether anything of the user's, or of the machine's, can be written if it can be named at all."""
    for path in (*place.secrets, f"{place.state}/objects/README"):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        except OSError:
            continue
        os.write(descriptor, b"probe\n")
        os.close(descriptor)
        return True
    reach("/etc/passwd", os.O_WRONLY)
    return True


def status(name: str) -> str:
    """One value of our own /proc/self/status."""
    with open("/proc/self/status") as file:
        return next(line.split()[1] for line in file if line.startswith(f"{name}:"))


def mount(place: Place) -> bool:
    """Whether something can be mounted; it is taken away again."""
    where = os.fsencode(place.main)
    made = called("mount", b"none", where, b"tmpfs", 0, None)
    if made:
        called("umount2", where, MNT_DETACH)
    return made


def write_temporary() -> None:
    """Write to /tmp, and leave nothing there."""
    path = f"/tmp/branchline-probe.{os.getpid()}"  # noqa: S108 - it is the sandbox's own
    reach(path, NEW)
    os.unlink(path)


def device(path: str) -> None:
    """Make and open the first disk."""
    os.mknod(path, 0o60600, os.makedev(8, 0))
    os.unlink(path)


def by_path(place: Place) -> bool:
    """Whether one of the host's sockets can be reached where it lies: in a folder that is seen, or in one that is not."""
    for path in place.sockets:
        with suppress(OSError):
            dial(socket.AF_UNIX, socket.SOCK_STREAM, path)
            return True
    return False


def other_families() -> bool:
    """Whether a socket can be made that no network of ours holds: to a machine's host, to its devices, to its kernel."""
    for family in OTHER_FAMILIES:
        with suppress(OSError):
            socket.socket(family, socket.SOCK_STREAM if family == VSOCK else socket.SOCK_SEQPACKET).close()
            return True
    return False


def asks_kernel(name: str, *args: int) -> bool:
    """Whether a call succeeds that the C library has no function for."""
    number = CALLS.get(os.uname().machine, GENERIC_CALLS)[name]
    answer = ctypes.CDLL(None).syscall(ctypes.c_long(number), *map(ctypes.c_long, args))
    return bool(answer >= 0)


OWN_FOLDER, GIT, OUTSIDE, SECRET, PROCESS, NETWORK = (
    *("write the attempt's own folder", "git status", "write outside", "read a secret of the home"),
    *("see the coordinator", "the host's loopback"),
)
DECISIVE = (OWN_FOLDER, GIT, OUTSIDE, SECRET, PROCESS, NETWORK)
"""What is tried before a run. All the rest is tried by `branchline doctor --sandbox`, and by our tests."""

ALLOWED: "dict[str, Callable[[Place], object]]" = {
    OWN_FOLDER: lambda place: reach(f"{place.folder}/new.txt", NEW),
    GIT: lambda place: git(place, "status"),
    "git commit": lambda place: git(place, "commit", "--allow-empty", "--message=probe"),
    "write the workspace": lambda place: reach(f"{place.main}/new.txt", NEW),
    "write /tmp": lambda _: write_temporary(),
    "write a home of its own": lambda place: reach(f"{place.home}/new.txt", NEW),
    "loopback of its own": lambda _: own_loopback(),
    "a port that is let through": lambda place: connect(place.open_port),
}

DENIED: "dict[str, Callable[[Place], object]]" = {
    OUTSIDE: write_outside,
    SECRET: lambda place: reach(place.secrets[0]),
    "read the user's checkout": lambda place: reach(place.secrets[1]),
    "read the ledger": lambda place: reach(place.secrets[2]),
    "read another workspace": lambda place: reach(place.secrets[3]),
    "read another attempt": lambda place: reach(place.secrets[4]),
    "write borrowed objects": lambda place: reach(f"{place.state}/objects/probe", NEW),
    "replace borrowed objects": lambda place: os.rename(f"{place.state}/objects", f"{place.state}/other"),
    "make a workspace": lambda place: os.mkdir(f"{place.state}/r/w/c"),
    "uncover the home": lambda place: uncover(place.home, place.secrets[0]),
    "uncover the checkout": lambda place: uncover(place.main, place.secrets[1]),
    "write /etc": lambda _: reach("/etc/passwd", os.O_WRONLY),
    "write the topmost folder": lambda _: reach("/new.txt", NEW),
    "see other folders of the disk": lambda _: any(map(os.path.exists, ELSEWHERE_ON_DISK)),
    "read what only root may": lambda _: reach("/etc/shadow"),
    "the kernel's keyrings": lambda _: asks_kernel("keyctl", 0, USERS_KEYRING, 0),
    "io_uring": lambda _: asks_kernel("io_uring_setup", 1, 0),
    "write a kernel setting": lambda _: reach("/proc/sys/kernel/core_pattern", os.O_WRONLY),
    "make a device": lambda place: device(f"{place.main}/disk"),
    "mount": mount,
    "hold a capability": lambda _: int(status("CapEff"), 16) != 0,
    "gain privileges": lambda _: status("NoNewPrivs") != "1",
    "a terminal": lambda _: reach("/dev/tty"),
    PROCESS: sees_coordinator,
    "signal the coordinator": kill,
    "see variables that were not given": foreign_variables,
    NETWORK: lambda place: connect(place.shut_port),
    "TCP out": lambda _: dial(socket.AF_INET, socket.SOCK_STREAM, ELSEWHERE),
    "UDP out": lambda _: dial(socket.AF_INET, socket.SOCK_DGRAM, ELSEWHERE),
    "the host's abstract sockets": lambda place: dial(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{place.abstract}"),
    "the host's sockets by their path": by_path,
    "sockets of other families": lambda _: other_families(),
}

SHUT = frozenset(
    {
        *("a port that is let through", "TCP out", "UDP out", "the host's abstract sockets"),
        *("the host's sockets by their path", "sockets of other families"),
    }
)
"""What is only tried where the sandbox has no network."""

UNCHANGED = "change anything outside"
"""What is seen from outside, afterwards."""


def found(place: Place, attempt: "Callable[[Place], object]") -> str:
    """What comes of one attempt."""
    try:
        return "denied" if attempt(place) is False else "allowed"
    except (OSError, AttributeError, StopIteration):
        return "denied"


def main() -> None:
    """Try those that are asked for, in order."""
    with open(sys.argv[1]) as file:
        given = json.load(file)
    place, tried = Place(**given), {**ALLOWED, **DENIED}  # where things are: `branchline.sandbox.probe` says it
    print(json.dumps({name: found(place, tried[name]) for name in given["names"]}))


if __name__ == "__main__":
    main()
