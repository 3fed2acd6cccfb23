"""What a sandbox keeps from the kernel: a filter of system calls, as bubblewrap's `--seccomp` reads it (seccomp(2)).

A namespace has no walls where the kernel has none for it: machines reach their host by AF_VSOCK, keyrings belong to a
user, and memory in segments of System V is in no process. `io_uring` makes and uses sockets past every filter.
"""

import errno
import os
import struct
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from branchline.process.temporary import temporary_folder

LOAD, AND, JUMP_EQUAL, JUMP_ABOVE, RETURN = 0x20, 0x54, 0x15, 0x25, 0x06  # linux/bpf_common.h
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # linux/seccomp.h: where what is asked for stands
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
UNIX, INET, INET6, NETLINK = 1, 2, 10, 16
FAMILIES = (UNIX, INET, INET6)
PROTOCOLS = (0, 4)  # of NETLINK: routes and addresses, and a list of sockets; each of the sandbox's own network
SEGMENT = 16384  # bytes; a kernel has 4096 of them at most
X32 = 0x3FFFFFFF

GENERIC = {"socket": 198, "add_key": 217, "request_key": 218, "keyctl": 219, "shmget": 194}  # asm-generic/unistd.h
ABIS: dict[str, dict[int, dict[str, int]]] = {
    "x86_64": {
        0xC000003E: {"socket": 41, "add_key": 248, "request_key": 249, "keyctl": 250, "shmget": 29},
        0x40000003: {"socket": 359, "socketcall": 102, "add_key": 286, "request_key": 287, "keyctl": 288, "shmget": 395}
        | {"ipc": 117},
    },
    "aarch64": {
        0xC00000B7: GENERIC,
        0x40000028: {"socket": 281, "add_key": 309, "request_key": 310, "keyctl": 311, "shmget": 307},
    },
    "riscv64": {0xC00000F3: GENERIC},
}
"""By machine: the numbers of what is looked at, in each of the ABIs that its kernels know (linux/audit.h)."""

IO_URING = 425  # in all of them


def filtered(*, network: bool) -> Path | None:
    """A file with the filter, which is there as long as this process; `network`: whether families are kept apart.

    None for a machine whose numbers are not known here.
    """
    machine = os.uname().machine
    return _written(temporary_folder(), machine, network=network) if machine in ABIS else None


@cache
def _written(folder: Path, machine: str, *, network: bool) -> Path:
    path = folder / f"syscalls-{'network' if network else 'host'}"
    aside = folder / f"{path.name}-{threading.get_ident()}"  # at no moment is there half of it
    aside.write_bytes(program(machine, network=network))
    return aside.replace(path)


def program(machine: str, *, network: bool) -> bytes:
    """The filter: a list of instructions. Numbers of the ABI that made the call are compared in turn."""
    made = b""
    for architecture, numbers in reversed(ABIS[machine].items()):
        block = b"".join(_block(numbers, network=network, above=X32 if architecture == 0xC000003E else None))
        made = _jump(JUMP_EQUAL, architecture, 0, len(block) // 8) + block + made
    return _load(ARCHITECTURE) + made + _refuse(errno.ENOSYS)


def _block(numbers: dict[str, int], *, network: bool, above: int | None) -> Iterator[bytes]:
    """What is done with the calls of one ABI."""
    yield _load(NUMBER)
    if above is not None:
        yield _jump(JUMP_ABOVE, above, 0, 1) + _refuse(errno.ENOSYS)
    for number in (IO_URING, *(numbers[name] for name in ("add_key", "request_key", "keyctl"))):
        yield _jump(JUMP_EQUAL, number, 0, 1) + _refuse(errno.ENOSYS)  # as of a kernel that has none
    too_large = (_load(ARGUMENTS + 8 + at) + _jump(JUMP_ABOVE, most, 0, 1) for at, most in ((4, 0), (0, SEGMENT)))
    yield _when(numbers["shmget"], b"".join(one + _refuse(errno.ENOSPC) for one in too_large))
    if "ipc" in numbers:  # shmget is its call 23
        asked = _load(ARGUMENTS) + _operation(AND, 0xFFFF) + _jump(JUMP_EQUAL, 23, 0, 1) + _refuse(errno.ENOSPC)
        yield _when(numbers["ipc"], asked)
    if network:
        if "socketcall" in numbers:  # its arguments are in memory, which a filter cannot see
            yield _jump(JUMP_EQUAL, numbers["socketcall"], 0, 1) + _refuse(errno.ENOSYS)
        family = _load(ARGUMENTS) + b"".join(_allowed(one) for one in FAMILIES)
        protocol = _load(ARGUMENTS + 16) + b"".join(_allowed(one) for one in PROTOCOLS)
        netlink = _jump(JUMP_EQUAL, NETLINK, 0, len(protocol) // 8) + protocol
        yield _when(numbers["socket"], family + netlink + _refuse(errno.EAFNOSUPPORT))
    yield _operation(RETURN, ALLOW)


def _when(number: int, then: bytes) -> bytes:
    """Instructions for one call, at whose end every call is allowed."""
    then += _operation(RETURN, ALLOW)
    return _jump(JUMP_EQUAL, number, 0, len(then) // 8) + then


def _allowed(value: int) -> bytes:
    return _jump(JUMP_EQUAL, value, 0, 1) + _operation(RETURN, ALLOW)


def _refuse(number: int) -> bytes:
    return _operation(RETURN, REFUSE | number)


def _load(offset: int) -> bytes:
    return _operation(LOAD, offset)


def _operation(code: int, value: int) -> bytes:
    return _jump(code, value, 0, 0)


def _jump(code: int, value: int, then: int, otherwise: int) -> bytes:
    """One instruction (linux/filter.h); `then`, `otherwise`: how many of the next are left out."""
    return struct.pack("=HBBI", code, then, otherwise, value)
