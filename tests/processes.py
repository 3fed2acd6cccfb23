"""Processes that try to outlive what started them, and a look at who is still there."""

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

_NUMBERS = itertools.count(1)


def token() -> str:
    """A length of time to sleep, as nobody else's: the processes that sleep for it are known by it."""
    return f"600.{os.getpid()}{next(_NUMBERS):06d}1"


def three_ways(name: str) -> str:
    """A shell script that starts a child, one in a session of its own, and a daemon as hard to end as they come.

    The last has left the tree, has cleared its environment and ignores every request. Ends when all three are there:
    a `setsid` that has not become its `sleep` yet may still be in the old session.
    """
    daemon = f'trap "" TERM HUP INT USR1; exec sleep {name}'
    return (
        f"sleep {name} & setsid sleep {name} & (setsid env -i sh -c '{daemon}' &); "
        f"until [ $(cat /proc/[0-9]*/cmdline 2>/dev/null | tr -d '\\0' | grep -aoE '(setsid)?sleep{name}' | grep -vc setsid) -ge 3 ]; "
        "do sleep 0.005; done"
    )


def running(*names: str) -> list[int]:
    """The processes of this machine that sleep for one of `names`; zombies do not."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0] == b"sleep" and words[1].decode() in names:
                found.append(int(entry))
    return found


def soon(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.005)
    return condition()
