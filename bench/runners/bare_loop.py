"""The floor: asyncio, four at a time, three records a task, each appended and synced before anything goes on.

`bare_loop.py GRAPH.json LEDGER` prints the seconds from call to return.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path


async def main(tasks: list[dict[str, list[str]]], ledger: str) -> None:
    """Run every task after its dependencies."""
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    room = asyncio.Semaphore(4)
    done = {str(task["id"]): asyncio.Event() for task in tasks}

    def note(name: str, state: str) -> None:
        os.write(file, json.dumps({"task": name, "state": state, "at": time.time_ns()}).encode() + b"\n")
        getattr(os, "fdatasync", os.fsync)(file)

    async def perform(task: dict[str, list[str]]) -> None:
        name = str(task["id"])
        for dependency in task["dependencies"]:
            await done[dependency].wait()
        async with room:
            note(name, "READY")
            note(name, "RUNNING")
            process = await asyncio.create_subprocess_exec(*task["run"])
            if await process.wait():
                sys.exit(1)
            note(name, "COMPLETED")
        done[name].set()

    await asyncio.gather(*map(perform, tasks))


graph = json.loads(Path(sys.argv[1]).read_bytes())
began = time.perf_counter()
asyncio.run(main(graph["tasks"], sys.argv[2]))
print(time.perf_counter() - began)
