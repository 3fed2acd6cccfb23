"""Runs tests where there is no network but loopback, and tells which hosts were looked up there.

`unshare --user --map-root-user --net python -m real_agents.sealed FILE ARGUMENTS` runs pytest with the arguments and writes the names to FILE,
one a line. The nameservers of this machine get their addresses on loopback, and answer every question with "no such host".
"""

import socket
import subprocess
import sys
import threading
from pathlib import Path

RESOLVER = Path("/etc/resolv.conf")
NO_SUCH_HOST = b"\x81\x83"  # the flags of an answer: recursion available, name error


def nameservers() -> list[str]:
    """The IPv4 addresses that this machine asks for names."""
    words = [line.split() for line in RESOLVER.read_text().splitlines()]
    return [word[1] for word in words if word[:1] == ["nameserver"] and ":" not in word[1]]


def name_in(question: bytes) -> str:
    """The name that a DNS question asks for."""
    labels, at = [], 12
    while at < len(question) and (size := question[at]):
        labels.append(question[at + 1 : at + 1 + size].decode(errors="replace"))
        at += 1 + size
    return ".".join(labels)


def listen(address: str, into: Path) -> None:
    """Take the part of a nameserver that knows no host."""
    subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=False)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))

    def answer() -> None:
        while True:
            question, client = server.recvfrom(4096)
            with into.open("a") as file:
                file.write(name_in(question) + "\n")
            server.sendto(question[:2] + NO_SUCH_HOST + question[4:], client)

    threading.Thread(target=answer, daemon=True).start()


def main() -> int:
    """Seal, then test; pytest's exit code."""
    into, *arguments = sys.argv[1:]
    Path(into).touch()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in nameservers():
        listen(address, Path(into))
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
