"""The filter of system calls, interpreted as the kernel does it (seccomp(2)), for machines that are not here too."""

import errno
import os
import struct
from itertools import product

import pytest

from branchline.sandbox.syscalls import ABIS, ALLOW, IO_URING, REFUSE, SEGMENT, filtered, program

EVERY = [(machine, architecture) for machine, abis in ABIS.items() for architecture in abis]
FINE = ALLOW


def asked(machine: str, architecture: int, number: int, *args: int, network: bool = True) -> int:
    """What the filter says of one call."""
    data = struct.pack("=iIQ6Q", number, architecture, 0, *args, *[0] * (6 - len(args)))
    code = [*struct.iter_unpack("=HBBI", program(machine, network=network))]
    at = value = 0
    while True:
        operation, then, otherwise, constant = code[at]
        at += 1
        match operation:
            case 0x20:
                value = int.from_bytes(data[constant : constant + 4], "little")
            case 0x54:
                value &= constant
            case 0x15:
                at += then if value == constant else otherwise
            case 0x25:
                at += then if value > constant else otherwise
            case 0x06:
                return int(constant)
            case _:
                pytest.fail(f"{operation:#x} is no operation")


def refused(number: int) -> int:
    return REFUSE | number


@pytest.mark.parametrize(("machine", "architecture"), EVERY)
def test_only_some_families_and_protocols_are_left(machine: str, architecture: int) -> None:
    number = ABIS[machine][architecture]["socket"]
    for family, protocol in product(range(64), range(24)):
        allowed = family in {1, 2, 10} or (family, protocol) in {(16, 0), (16, 4)}
        said = asked(machine, architecture, number, family, 1, protocol)
        assert said == (FINE if allowed else refused(errno.EAFNOSUPPORT)), (family, protocol)
        assert asked(machine, architecture, number, family, 1, protocol, network=False) == FINE


@pytest.mark.parametrize("network", [True, False])
@pytest.mark.parametrize(("machine", "architecture"), EVERY)
def test_keys_rings_and_large_segments_are_not_there(machine: str, architecture: int, network: bool) -> None:
    numbers = ABIS[machine][architecture]
    for number in (IO_URING, numbers["add_key"], numbers["request_key"], numbers["keyctl"]):
        assert asked(machine, architecture, number, network=network) == refused(errno.ENOSYS)
    assert asked(machine, architecture, numbers["shmget"], 0, SEGMENT, network=network) == FINE
    assert asked(machine, architecture, numbers["shmget"], 0, SEGMENT + 1, network=network) == refused(errno.ENOSPC)
    assert asked(machine, architecture, numbers["shmget"], 0, 1 << 32, network=network) == refused(errno.ENOSPC)
    special = {IO_URING, *numbers.values()}
    for number in set(range(600)) - special:
        assert asked(machine, architecture, number, 40, 1 << 20, network=network) == FINE, number


def test_the_old_calls_of_many_kinds_are_seen_through() -> None:
    old = 0x40000003
    assert asked("x86_64", old, 102, 1) == refused(errno.ENOSYS)
    assert asked("x86_64", old, 102, 1, network=False) == FINE
    assert asked("x86_64", old, 117, 23 | 1 << 16) == refused(errno.ENOSPC)
    assert asked("x86_64", old, 117, 21) == FINE


def test_an_abi_that_is_not_known_can_do_nothing() -> None:
    assert asked("x86_64", 0xC000003E, 0x40000000 + 41, 1) == refused(errno.ENOSYS)
    assert asked("aarch64", 0xC000003E, 0) == refused(errno.ENOSYS)


def test_the_file_is_written_once() -> None:
    first, other = filtered(network=True), filtered(network=False)
    if os.uname().machine not in ABIS:
        assert first is None
        return
    assert first is not None
    assert first.read_bytes() == program(os.uname().machine, network=True)
    assert first == filtered(network=True) != other
