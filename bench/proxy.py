"""What the metering proxy adds to a model's answer: a request's time and CPU with and without it, in turns.

The provider, a process of its own, answers at once with a stream of events; a real one takes seconds.
"""

import socket
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from subprocess import PIPE, Popen

from _measuring import interleaved, options, show, verdict

from branchline.agents.metering.proxy import Proxy
from branchline.core.model.pricing import Price

EVENT = b'event: content_block_delta\ndata: {"type": "content_block_delta", "delta": {"text": "%b"}}\n\n' % (b"x" * 40)
END = b'data: {"type": "message_delta", "usage": {"input_tokens": 1, "output_tokens": 2}}\n\ndata: {"type": "message_stop"}\n\n'
QUESTION = b'{"model": "m", "stream": true, "messages": "%b"}' % (b"x" * 100_000)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
EVENTS, LARGE = 500, 20_000
GOAL_MS, GOAL_CPU_MS = 20.0, 20.0


class Provider(StreamRequestHandler):
    """Answers every request with as many events as its path says."""

    def handle(self) -> None:
        """Answer one request."""
        events = int(self.rfile.readline().split()[1].rpartition(b"/")[2].partition(b"-")[2])
        length = 0
        while (line := self.rfile.readline().strip().lower()) != b"":
            length = int(line.partition(b":")[2]) if line.startswith(b"content-length") else length
        self.rfile.read(length)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wfile.write(HEAD + EVENT)
        for _ in range(events // 100):
            self.wfile.write(EVENT * 100)
        self.wfile.write(END)


def serve() -> None:
    """Run the provider until we are ended."""
    ThreadingTCPServer.daemon_threads, ThreadingTCPServer.request_queue_size = True, 128
    with ThreadingTCPServer(("127.0.0.1", 0), Provider) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


def asked(url: str, events: int) -> tuple[float, float]:
    """Seconds to the first piece and to the end of an answer."""
    host, _, prefix = url.removeprefix("http://").partition("/")
    began = time.perf_counter()
    connection = HTTPConnection(host)
    connection.request("POST", f"/{prefix}/messages-{events}", QUESTION)
    response = connection.getresponse()
    response.read1(1 << 16)
    first = time.perf_counter() - began
    while response.read1(1 << 16):
        pass
    connection.close()
    return first, time.perf_counter() - began


def contestant(name: str, url: str, events: int, parallel: int) -> dict[str, float]:
    """One request after another, then many at once."""
    cpu = time.process_time()
    first, whole = asked(url, EVENTS)
    cpu = time.process_time() - cpu
    large = asked(url, events)[1]
    threads = [threading.Thread(target=asked, args=(url, EVENTS)) for _ in range(parallel)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = {"first": first, "whole": whole, "cpu": cpu, "large": large, "many": time.perf_counter() - began}
    return {f"{name} {key}": value * 1000 for key, value in values.items()}


def main() -> None:
    """Measure both ways to the provider in turns."""
    given = options(__doc__)
    rounds, large, parallel = (3, 1000, 4) if given.quick else (21, LARGE, 50)
    with (
        Popen([sys.executable, __file__, "serve"], stdout=PIPE, text=True) as child,
        tempfile.TemporaryDirectory() as folder,
    ):
        assert child.stdout
        direct = f"http://127.0.0.1:{int(child.stdout.readline())}/v1"
        with Proxy(direct, Path(folder), {"m": Price(input=1, output=1)}) as proxy:
            by = {"direct": direct, "proxy": proxy.endpoint}
            contest = {name: (lambda n=name, u=url: contestant(n, u, large, parallel)) for name, url in by.items()}
            seen = interleaved(rounds, contest)
        child.terminate()
    goals = {"first": GOAL_MS, "whole": GOAL_MS, "cpu": GOAL_CPU_MS}
    texts = {
        "first": "first piece of an answer, ms",
        "whole": f"answer of {EVENTS} events, ms",
        "cpu": "its CPU, agent's side included, ms",
        "large": f"answer of {large} events, ms",
        "many": f"{parallel} answers at once, ms",
    }
    rows: list[dict[str, str | float]] = []
    for key, text in texts.items():
        added = seen[f"proxy {key}"] - seen[f"direct {key}"]
        goal = f"+{goals[key]:g} {verdict(added, goals[key])}" if key in goals else ""
        rows.append(
            {"what": text, "direct": seen[f"direct {key}"], "proxy": seen[f"proxy {key}"], "added": added, "goal": goal}
        )
    show("The metering proxy: medians, the provider in a process of its own", rows, as_json=given.json)


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
