"""The parent of one attempt's processes, as `tini -s` is: none of them can leave it, and it ends them all.

`name=value ... -- COMMAND...`, on the standard library alone. It is the first process of a PID namespace, or else a
subreaper, so that every orphan among its descendants becomes its child. SIGTERM asks all of them to end, SIGUSR1 kills
them; the death of its own parent is a SIGUSR1, too. On the descriptor `report` it writes a line when the command has
started (`started PID`) or has not (`refused`, `errno NUMBER`), and one at its end
(`ended CODE LEFT LIVING SECONDS`). The command's environment is what stands in the file of the descriptor `environ`.

Every attempt waits for this program to start, so little is imported: `ctypes`, `signal` and `contextlib` take 5 ms each,
`typing` 12, all the rest 10.
"""

import _signal  # type: ignore[import-not-found]
import os
import resource
import sys
import time

TYPE_CHECKING = False  # as in typing
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_SLAVE = 2, 4, 8, 1 << 14, 1 << 19
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
ASK = {_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP}
KILL = _signal.SIGUSR1
KILL_SECONDS = 5.0  # what cannot be killed by then waits for a device or belongs to another user
OOM_SCORE = 500  # when memory runs out everywhere, an attempt should go before the coordinator
SHELL = 128  # a shell's exit code, and bubblewrap's, is this and the number of the signal that ended its command
ENDING = {*range(1, 16), _signal.SIGXCPU, _signal.SIGXFSZ, _signal.SIGSYS}
"""Signals that end processes. The others are not meant by a code above 128: Gemini ends with 400 & 255, and git with 255."""


class Refused(Exception):
    """The system does not allow the method."""


def main() -> "NoReturn":
    """See a command and all that it starts to their end."""
    words = sys.argv[1:]
    end = words.index("--")
    given = dict(word.split("=", 1) for word in words[:end])
    report = int(given["report"])
    os.set_inheritable(report, False)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, {*ASK, KILL, _signal.SIGCHLD})  # each is waited for
    try:
        call("prctl", PR_SET_PDEATHSIG, KILL, 0, 0, 0)
        if os.getppid() == int(given["parent"]):  # else it has died already
            keep(given, words[end + 1 :], report)
    except (Refused, ImportError):  # or a Python that cannot call the C library
        tell(report, "refused")
    except OSError as error:
        tell(report, "errno", error.errno)
    os._exit(0)


def keep(given: dict[str, str], argv: list[str], report: int) -> None:
    """Make what the command cannot leave, and start it there. Raises Refused, or OSError if it cannot be started."""
    with open(int(given["environ"]), "rb") as file:
        pairs = (one.partition(b"=") for one in file.read().split(b"\0") if one)
        environ = {name: value for name, _, value in pairs}
    written("/proc/self/oom_score_adj", str(OOM_SCORE))
    method = given["method"]
    alone = method != "subreaper" and is_alone(sandboxed=method == "sandbox")
    if not alone:
        call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    pid = int(os.readlink("/proc/self"))  # as the coordinator sees it
    if alone:
        # Without a /proc of its own, the command would take the machine's process numbers for those of its own.
        call("mount", b"none", b"/", None, MS_REC | MS_SLAVE, None)
        call("mount", b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    bound(given, alone=alone)
    os.unsetenv("PATH")
    if b"PATH" in environ:
        os.putenv(b"PATH", environ[b"PATH"])  # programs are looked up in ours
    command = os.posix_spawnp(
        argv[0], argv, environ, setsid=True, setsigmask=(), setsigdef=(_signal.SIGPIPE, _signal.SIGXFSZ)
    )
    tell(report, "started", pid)
    tell(report, "ended", *tended(command, alone=alone, sandboxed=method == "sandbox"))


def is_alone(*, sandboxed: bool) -> bool:
    """Whether we go on as the first process of a PID namespace, in a child. Raises Refused if the system allows none.

    Around a sandbox it is no more than an addition: its own program makes one, for which it may need a user namespace.
    """
    if os.geteuid() != 0 or call("unshare", CLONE_NEWPID | CLONE_NEWNS) != 0:
        if sandboxed:
            return False
        enter_user_namespace()
    alive, held = os.pipe()
    child = os.fork()
    if child != 0:
        wait_for(child)
    os.close(held)
    call("prctl", PR_SET_PDEATHSIG, _signal.SIGKILL, 0, 0, 0)
    os.set_blocking(alive, False)
    try:
        os.read(alive, 1)
    except BlockingIOError:
        return True
    os._exit(0)  # the end: our parent died before that, and its number cannot be seen from here


def wait_for(child: int) -> "NoReturn":
    """Hand on what we are asked until the child ends. If we are killed, the kernel kills it, and all others with it."""
    while True:
        number = _signal.sigwait({*ASK, KILL, _signal.SIGCHLD})
        if number != _signal.SIGCHLD:
            os.kill(child, number)
        elif os.waitpid(child, os.WNOHANG)[0]:
            os._exit(0)


def enter_user_namespace() -> None:
    """Be in a user namespace, as who we were, with a PID and a mount namespace for our children. Raises Refused."""
    user, group = os.geteuid(), os.getegid()
    if call("unshare", CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS) != 0:
        raise Refused
    lines = (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1"))
    if not all(written(f"/proc/self/{name}", text) for name, text in lines):
        raise Refused  # as Ubuntu does since 24.04: it gives a namespace in which we are nobody


def written(path: str, text: str) -> bool:
    """Whether the kernel takes a setting."""
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(text.encode())
    except OSError:
        return False
    return True


def bound(given: dict[str, str], *, alone: bool) -> None:
    """Set what the kernel itself bounds: it acts before anybody can look."""
    if "cgroup" in given:
        written(f"{given['cgroup']}/cgroup.procs", "0")
    if alone and "pid_max" in given:
        written("/proc/sys/kernel/pid_max", given["pid_max"])
    for name, value in given.items():
        if name.startswith("RLIMIT_") and (alone or name != "RLIMIT_NPROC"):
            number = getattr(resource, name)
            most = resource.getrlimit(number)[1]
            soft, hard = (int(one) if most == -1 else min(int(one), most) for one in value.split(":"))
            resource.setrlimit(number, (soft, hard))


def tended(command: int, *, alone: bool, sandboxed: bool) -> tuple[int, int, int, float]:
    """Wait for the command's end or the order to kill it, and end what is left.

    Its exit code, or less the number of a signal; how many could not be killed; how many outlived it, where a namespace
    tells; the seconds of the processor that all took.
    """
    status: int | None = None
    while status is None:
        number = _signal.sigwait({*ASK, KILL, _signal.SIGCHLD})
        if number == _signal.SIGCHLD:
            status = reaped(command)[0]
        elif number == KILL:
            break
        elif alone and not sandboxed:
            send(-1, number)
        else:
            for pid, _ in descendants():
                # A sandbox's own program would take the rest with it, unasked.
                if not (sandboxed and pid == command):
                    send(pid, number)
    living = sum(entry.isdigit() for entry in os.listdir("/proc")) - 1 if alone else 0
    left, late = killed_all(command, alone=alone)
    status = late if status is None else status
    code = -_signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = SHELL - code if sandboxed and code - SHELL in ENDING else code
    return told, left, living, used.ru_utime + used.ru_stime


def reaped(command: int) -> tuple[int | None, bool]:
    """Take note of every child that has ended: the status of the command if it is among them, and whether others live."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found, False
        if pid == 0:
            return found, True
        if pid == command:
            found = status


def killed_all(command: int, *, alone: bool) -> tuple[int, int | None]:
    """Kill every descendant; how many are left nevertheless, and the command's status if it ended only now."""
    deadline = time.monotonic() + KILL_SECONDS
    found = None
    while True:
        status, more = reaped(command)
        found = status if found is None else found
        if not more:  # an orphan would have become our child
            return 0, found
        if time.monotonic() > deadline:
            return len(list(descendants())), found
        living = [] if alone else list(descendants())
        # A group is killed at once: however fast its members fork, none is born after that.
        groups = {-group for _, group in living if group != os.getpgrp()}
        for one in (-1,) if alone else (*groups, *(pid for pid, _ in living)):
            send(one, _signal.SIGKILL)
        time.sleep(0.0005)


def descendants() -> "Iterator[tuple[int, int]]":
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


def send(pid: int, number: int) -> None:
    """Send a signal to a process, to a group (less than -1) or to all that there are (-1)."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):  # gone, or another user's
        pass


def tell(report: int, *words: object) -> None:
    """Write one line of the report."""
    try:
        os.write(report, (" ".join(map(str, words)) + "\n").encode())
    except OSError:  # there may be no reader any more
        pass


def call(name: str, *args: object) -> int:
    """What a function of the C library returns. Raises ImportError where Python cannot call any."""
    import _ctypes

    class Function(_ctypes.CFuncPtr):
        _flags_ = _ctypes.FUNCFLAG_CDECL

    library = _ctypes.dlopen(None, os.RTLD_NOW)  # type: ignore[arg-type]
    return int(Function(_ctypes.dlsym(library, name))(*args))
