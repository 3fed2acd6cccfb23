"""Inside a sandbox without a network: leads ports of its own loopback to the proxy outside, then becomes the command.

`bridge.py SOCKET PROXY PORTS COMMAND...`: SOCKET is the proxy's; PROXY is `proxy` if the command is to use it as its HTTP
proxy, else `-`; PORTS are ports of the host's loopback, with commas, or `-`. Standard library only, and little of it, to
start fast. The one that hands on what comes is a process of its own: the command keeps its exit status and its signals.
"""

import _socket  # what `socket` adds to it takes longer to import than everything else here
import os
import select
import sys
import time

TYPE_CHECKING = False  # as in typing
if TYPE_CHECKING:
    import socket

LOOPBACK = "127.0.0.1"
PIECE = 1 << 16
PAUSE = 0.02  # seconds
VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


def main() -> None:
    """Listen, leave a process behind that hands on, run the command in our place."""
    path, proxy, ports, *argv = sys.argv[1:]
    # Programs that speak with a server on this machine do not ask a proxy for it.
    named = [port for port in ports.split(",") if port != "-"]
    doors = [(listening(int(port)), f"CONNECT {LOOPBACK}:{port} HTTP/1.1\r\n\r\n".encode()) for port in named]
    if proxy == "proxy":
        doors.append((listening(0), b""))
        for name in VARIABLES:
            os.environ[name] = os.environ[name.lower()] = f"http://{LOOPBACK}:{doors[-1][0].getsockname()[1]}"
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = f"{LOOPBACK},localhost"
        os.environ["NODE_USE_ENV_PROXY"] = "1"  # Node's own fetch does not look otherwise
    command = os.pidfd_open(os.getpid())
    if os.fork() == 0:
        if os.fork() == 0:  # twice, so that the command has no child that it knows nothing of
            stay(path, doors, command)
        os._exit(0)
    os.wait()
    for door, _ in doors:
        door.close()
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        print(f"branchline: cannot run {argv[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


def listening(port: int) -> "_socket.socket":
    """A listener on our loopback; port 0 is any."""
    door = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    door.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    door.bind((LOOPBACK, port))
    door.listen(128)
    return door


def stay(path: str, doors: "list[tuple[_socket.socket, bytes]]", command: int) -> None:
    """Hand on until the command ends. What it is asked to do by signals is not asked of us."""
    import signal

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    greetings = {door.fileno(): greeting for door, greeting in doors}
    poll = select.poll()
    for descriptor in (command, *greetings):
        poll.register(descriptor, select.POLLIN)
    while command not in (ready := dict(poll.poll())):
        import socket  # now that a client comes: before, it would only take the time of the command
        import threading

        for one in ready:
            try:
                with socket.socket(fileno=os.dup(one)) as door:
                    client, _ = door.accept()
                threading.Thread(target=serve, args=(path, client, greetings[one]), daemon=True).start()
            except (OSError, RuntimeError):  # too many at the moment: those under way go on
                time.sleep(PAUSE)


def serve(path: str, client: "socket.socket", greeting: bytes) -> None:
    """Join one connection with one of the proxy's."""
    import socket
    import threading

    try:
        with client, socket.socket(socket.AF_UNIX) as outside:
            outside.connect(path)
            if greeting:
                outside.sendall(greeting)
                if not through(outside):
                    return
            back = threading.Thread(target=copy, args=(outside, client), daemon=True)
            back.start()
            copy(client, outside)
            back.join()
    except OSError:
        return


def through(outside: "socket.socket") -> bool:
    """Whether the proxy says that the connection stands; its answer is taken in to the last byte and no further."""
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        byte = outside.recv(1)
        if not byte:
            return False
        answer += byte
    return answer.startswith(b"HTTP/1.1 200 ")


def copy(source: "socket.socket", sink: "socket.socket") -> None:
    """Hand on until the end of one side."""
    try:
        while data := source.recv(PIECE):
            sink.sendall(data)
        sink.shutdown(_socket.SHUT_WR)
    except OSError:
        return


if __name__ == "__main__":
    main()
