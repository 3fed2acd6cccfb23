"""The last net: finding processes by the name of their attempt, which stands in their environment."""

import os
import signal
import time
from contextlib import suppress

MARKER = "BRANCHLINE_ATTEMPT"
OWN = "/git"  # ends the marker of a short command that we wait for
_GRACE = 1.0  # seconds for an orphan to end when asked
_OWN_GRACE = 2.0  # seconds for a short command of ours to finish before it is asked
_LIMIT = 5.0  # seconds; a fork bomb may outrun us: give up rather than loop for ever


def sweep(marker: str) -> None:
    """End every process of ours whose environment says that it belongs to `marker`.

    `marker` is a whole marker or the first components of one: a run's id sweeps all attempts of that run.
    They are asked, and killed a second later. A short command of ours (its marker ends in OWN) may finish first,
    because a git that is stopped in the wrong moment leaves its locks behind.
    It reads /proc; a system without one finds nothing.
    """
    asked: set[int] = set()
    began = time.monotonic()
    while found := living(marker):
        waited = time.monotonic() - began
        if waited > _LIMIT:
            break
        for pid, own in found.items():
            overdue = waited - (_OWN_GRACE if own else 0.0)
            if overdue >= _GRACE or (overdue >= 0 and pid not in asked):
                asked.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if overdue >= _GRACE else signal.SIGTERM)
        time.sleep(0.005)


def living(marker: str) -> dict[int, bool]:
    """Return the processes that belong to `marker`, and whether each is a short command of our own."""
    prefix = f"{MARKER}={marker}".encode(errors="surrogateescape")
    found = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with suppress(OSError), open(f"/proc/{entry}/environ", "rb") as file:  # gone, a zombie, or another user's
            for one in file.read().split(b"\0"):
                if one == prefix or one.startswith(prefix + b"/"):
                    found[int(entry)] = one.endswith(OWN.encode())
    return found
