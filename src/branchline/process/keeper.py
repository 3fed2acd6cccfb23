"""Keeps an attempt's processes together: the parent that none of them can leave, and that ends them all.

A program of its own, with the standard library only: `python -I -S keeper.py FD`. On the socket FD, a packet with
descriptors stands for each attempt; it forks a keeper, which is the first process of a new PID namespace or else a
subreaper, so that every orphan among its descendants becomes its child. The attempt's own socket is the first of the
descriptors. It tells what to start; then `T` asks all processes to end, and `K`, or the end of whoever is on the other
side, kills them. The keeper answers with a line of JSON when the command has started, or has not, and one at its end.
"""

import contextlib
import ctypes
import fcntl
import functools
import gc
import json
import os
import resource
import select
import signal
import socket
import subprocess  # noqa: TID251 - of the package that may
import sys
import time
from collections.abc import Iterator
from typing import Any

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_SLAVE = 2, 4, 8, 1 << 14, 1 << 19
PR_SET_CHILD_SUBREAPER = 36
MOST_DESCRIPTORS = 64
KILL_SECONDS = 5.0  # what cannot be killed by then waits for a device or belongs to another user
OOM_SCORE = b"500"  # when memory runs out everywhere, an attempt should go before the coordinator


class Refused(Exception):
    """The system allows no namespace of our own."""


def serve(requests: socket.socket) -> None:
    """Fork a keeper for each packet, until the coordinator is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers need no waiting for
    _libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # the first process of a namespace is a grandchild
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, _nothing)
    gc.freeze()
    while True:
        packet, descriptors, _, _ = socket.recv_fds(requests, 16, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        if not packet:
            return
        with socket.socket(fileno=descriptors[0]) as channel:
            try:
                if os.fork() == 0:
                    requests.close()
                    _keep(channel, descriptors[1:])
            except OSError as error:
                _tell(channel, errno=error.errno)
        for descriptor in descriptors[1:]:
            os.close(descriptor)


def _keep(channel: socket.socket, descriptors: list[int]) -> None:
    """Start what `channel` asks for, and see it and all that it starts to their end. Does not return."""
    try:
        request = _request(channel)
        channel, streams = _moved(channel, descriptors, request["keep"])
        os.setsid()
        _be_rather_killed()
        alone = _is_alone(request["method"])
        if alone and request["pid_max"]:
            _bound(request["pid_max"])
        if not alone:
            _libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _tend(channel, request, streams)
    except Refused as error:
        _tell(channel, refused=str(error))
    except BrokenPipeError:
        pass  # nobody is left to be told
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        _tell(channel, errno=getattr(error, "errno", None), error=str(error))
    finally:
        os._exit(0)


def _request(channel: socket.socket) -> dict[str, Any]:
    with channel.makefile("rb") as file:
        found: dict[str, Any] = json.loads(file.readline())
    return found


def _moved(channel: socket.socket, descriptors: list[int], keep: list[int]) -> tuple[socket.socket, list[int]]:
    """Give the descriptors that the command inherits the numbers that it knows them by; ours move out of their way."""
    given = [channel.detach(), *descriptors]
    above = max([*given, *keep]) + 1
    ours = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, above) for one in given]
    for descriptor in given:
        os.close(descriptor)
    for descriptor, number in zip(ours[4:], keep, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    return socket.socket(fileno=ours[0]), ours[1:4]


def _be_rather_killed() -> None:
    try:
        with open("/proc/self/oom_score_adj", "r+b", buffering=0) as file:
            if int(file.read()) < int(OOM_SCORE):
                file.write(OOM_SCORE)
    except OSError:
        pass  # no such thing here


def _is_alone(method: str) -> bool:
    """Whether we go on as the first process of a new PID namespace. Raises Refused if the method asks for no less."""
    if method == "subreaper":
        return False
    if os.geteuid() != 0 or _libc().unshare(CLONE_NEWPID | CLONE_NEWNS) != 0:
        if method == "sandbox":  # its own program may be allowed a user namespace where we are not, and needs it
            return False
        _enter_user_namespace()
    if os.fork() != 0:
        os._exit(0)
    return True


def _enter_user_namespace() -> None:
    """With a PID and a mount namespace for our children, in which we are who we were."""
    user, group = os.geteuid(), os.getegid()
    if _libc().unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS) != 0:
        raise Refused(os.strerror(ctypes.get_errno()))
    try:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "wb", buffering=0) as file:
                file.write(text.encode())
    except OSError as error:
        raise Refused(str(error)) from error


def _bound(most: int) -> None:
    """Have the kernel allow our namespace no more than `most` processes and threads.

    A bomb of processes grows by thousands until whoever counts them has its turn.
    """
    with contextlib.suppress(OSError), open("/proc/sys/kernel/pid_max", "wb", buffering=0) as file:
        file.write(str(most).encode())


def _mount_proc() -> None:
    # Without it, the programs of the attempt would take the machine's process numbers for their own.
    _libc().mount(b"none", b"/", None, MS_REC | MS_SLAVE, None)
    _libc().mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)


def _tend(channel: socket.socket, request: dict[str, Any], streams: list[int]) -> None:
    """Start the command, wait for its end or the order to kill it; end what is left; tell how it ended."""
    pid = int(os.readlink("/proc/self"))  # as the coordinator sees it
    alone = os.getpid() == 1
    if alone:
        _mount_proc()
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _nothing)
    command = _start(request, streams)
    for stream in streams:
        os.close(stream)
    _tell(channel, pid=pid)
    spared = {command.pid} if request["method"] == "sandbox" else set()
    poll = select.poll()
    poll.register(woken, select.POLLIN)
    poll.register(channel, select.POLLIN)
    status: int | None = None
    while status is None:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if woken in ready:
            os.read(woken, 4096)
            status = _reaped(command.pid)
        if channel.fileno() in ready:
            word = channel.recv(64)
            if not word or b"K" in word:
                break
            _ask(alone, spared)
    living = sum(entry.isdigit() for entry in os.listdir("/proc")) - 1 if alone else 0
    left, late = _kill_all(alone, command.pid)
    status = late if status is None else status
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    _tell(channel, status=status, living=living, left=left, cpu=used.ru_utime + used.ru_stime)


def _start(request: dict[str, Any], streams: list[int]) -> subprocess.Popen[bytes]:
    if request["cgroup"]:
        with contextlib.suppress(OSError), open(f"{request['cgroup']}/cgroup.procs", "wb", buffering=0) as file:
            file.write(b"0")
    for name, limit in request["rlimits"].items():
        number = getattr(resource, name)
        most = resource.getrlimit(number)[1]
        resource.setrlimit(number, tuple(one if most == -1 else min(one, most) for one in limit))
    return subprocess.Popen(
        [_bytes(word) for word in request["argv"]],
        cwd=_bytes(request["cwd"]),
        env={_bytes(name): _bytes(value) for name, value in request["env"].items()},
        stdin=streams[0],
        stdout=streams[1],
        stderr=streams[2],
        start_new_session=True,
        pass_fds=request["keep"],
    )


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _reaped(command: int) -> int | None:
    """Take note of every child that has ended; the status of the command if it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == command:
            found = status


def _ask(alone: bool, spared: set[int]) -> None:
    """Ask all processes to end. A sandbox's own is spared: it would take the rest with it, unasked."""
    if alone and not spared:
        _signal(-1, signal.SIGTERM)
        return
    for pid, _ in _descendants():
        if pid not in spared:
            _signal(pid, signal.SIGTERM)


def _kill_all(alone: bool, command: int) -> tuple[int, int | None]:
    """Kill every descendant; how many are left nevertheless, and the command's status if it ended only now."""
    deadline = time.monotonic() + KILL_SECONDS
    found = None
    while True:
        status = _reaped(command)
        found = status if found is None else found
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        except ChildProcessError:  # an orphan would have become our child
            return 0, found
        if time.monotonic() > deadline:
            return len(list(_descendants())), found
        if alone:
            _signal(-1, signal.SIGKILL)
        else:
            _kill_descendants()
        time.sleep(0.0005)


def _kill_descendants() -> None:
    living = list(_descendants())
    # A group is killed at once: however fast its members fork, none is born after that.
    for group in {group for _, group in living if group != os.getpgrp()}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for pid, _ in living:
        _signal(pid, signal.SIGKILL)


def _descendants() -> Iterator[tuple[int, int]]:
    """Our descendants, zombies too: each one's number and process group."""
    children: dict[int, list[tuple[int, int]]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append((int(entry), int(fields[2])))
    waiting = [os.getpid()]
    while waiting:
        found = children.get(waiting.pop(), [])
        yield from found
        waiting += [pid for pid, _ in found]


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or another user's
        os.kill(pid, number)


def _nothing(*_: object) -> None:
    """Only to be woken; unlike an ignored signal, one with a handler is the default one again in a new program."""


def _tell(channel: socket.socket, **what: object) -> None:
    with contextlib.suppress(OSError):  # nobody is left to be told
        channel.sendall(json.dumps(what).encode() + b"\n")


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
