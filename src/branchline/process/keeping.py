"""The one process of ours that starts keepers, and how a keeper is asked for one."""

import atexit
import json
import math
import os
import select
import socket
import subprocess  # noqa: TID251 - this is the package that may
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

KEEPER = Path(__file__).with_name("keeper.py")
END_SECONDS = 10.0


class Keepers:
    """Starts that process when it is first needed, again if somebody has killed it, and ends it with us."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._refused: set[str] = set()

    def open(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> "Channel | None":
        """A keeper for one command, which has given its first answer. None if the method does not work here."""
        for _ in range(2):  # somebody may have killed the process since it was last used
            if request["method"] in self._refused or (requests := self._running()) is None:
                return None
            channel = Channel.to_new_keeper(requests, request, descriptors)
            answer = channel.hear(None)
            if answer is not None and "refused" not in answer:
                return channel
            channel.close()
            if answer is None:
                self._stop(requests)
            else:
                self._refused.add(request["method"])
        return None

    def _running(self) -> socket.socket | None:
        with self._lock:
            if self._requests is None or self._owner != os.getpid():
                self._start()
            return self._requests

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [sys.executable, "-I", "-S", str(KEEPER), str(theirs.fileno())]
        # A Python that is not where it was built may need this to find its own library.
        env = {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}
        null = subprocess.DEVNULL
        with theirs:
            try:
                self._process = subprocess.Popen(
                    argv,
                    cwd="/",
                    env=env,
                    stdin=null,
                    stdout=null,
                    stderr=null,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                return
        self._requests, self._owner = ours, os.getpid()
        atexit.register(self._stop, ours)

    def _stop(self, requests: socket.socket) -> None:
        """End the process that listens on `requests`, if it is the present one and no parent's of ours."""
        with self._lock:
            if self._requests is not requests or self._process is None or self._owner != os.getpid():
                return
            requests.close()
            self._requests = None
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Channel:
    """The line to one keeper, which tells something twice: that the command has started, and how it ended."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._heard = b""
        self.told: dict[str, Any] = {}
        self.silent = False

    @classmethod
    def to_new_keeper(
        cls, requests: socket.socket, request: Mapping[str, Any], descriptors: Sequence[int]
    ) -> "Channel":
        """Ask for a keeper and tell it what to do; where there is none, the channel is silent."""
        ours, theirs = socket.socketpair()
        made = cls(ours)
        with theirs:
            try:
                socket.send_fds(requests, [b"a"], [theirs.fileno(), *descriptors])
            except OSError:  # its end is closed when `theirs` is
                return made
        made.say(json.dumps(request).encode() + b"\n")
        return made

    def say(self, word: bytes) -> None:
        """Say something, if somebody is there. From any thread."""
        with suppress(OSError):
            self._end.sendall(word)

    def hear(self, seconds: float | None) -> dict[str, Any] | None:
        """Wait at most `seconds` (None: for ever) for the next thing that it tells; None if it has not, or is gone."""
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._heard:
            left = deadline - time.monotonic()
            if self.silent or not poll.poll(None if math.isinf(left) else max(0.0, left) * 1000):
                return None
            heard = self._received()
            self._heard += heard
            self.silent = not heard
        line, _, self._heard = self._heard.partition(b"\n")
        self.told = json.loads(line)
        return self.told

    def _received(self) -> bytes:
        try:
            return self._end.recv(4096)
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        """Hang up: a keeper that is still there kills everything."""
        self._end.close()
