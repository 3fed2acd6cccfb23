"""The process between Branchline and an agent that speaks ACP: `python -m branchline.agents.acp_runner ORDER.json`.

It runs inside the worktree. It starts the agent, holds one conversation with it, and prints one JSON line an event. The last line is `result`, or
`error` with its `kind`: `missing` (the library or the agent's program), `ended` (the agent, too early), `protocol`,
`unsupported`, or `agent` (its own words, with their `code`). The exit code is 0 after `result`, else 1.
"""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import SubprocessStreamProtocol
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import msgspec

from branchline.agents.acp_runner.order import INSTALL, Failed, Order, emit

BUFFER = 1 << 20  # bytes read ahead; a message may be longer
LAST_WORDS = 2.0  # seconds to read what an agent said before it ended
LEAVING = 1.0  # seconds for an agent to end after each of: no more input, SIGTERM, SIGKILL


class _Streams(SubprocessStreamProtocol):
    """The agent's pipes, and its end. asyncio's own `wait` waits for the pipes, too: a child may hold them for ever."""

    def __init__(self) -> None:
        super().__init__(limit=BUFFER, loop=asyncio.get_running_loop())
        self.gone = asyncio.Event()

    def process_exited(self) -> None:
        self.gone.set()
        super().process_exited()

    async def ended(self, within: float) -> bool:
        """Whether the agent ends within some seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.gone.wait(), within)
        return self.gone.is_set()


async def carry_out(order: Order) -> None:
    """Start the agent, talk to it, end it. Raises Failed; a SIGTERM cancels."""
    if find_spec("acp") is None:
        raise Failed("missing", f"the library for ACP is not installed: {INSTALL}")
    loop = asyncio.get_running_loop()
    try:
        agent, streams = await loop.subprocess_exec(_Streams, *order.argv, cwd=order.worktree, stderr=None)
    except (OSError, ValueError) as error:
        raise Failed("missing", f"cannot run {order.argv[0]}: {getattr(error, 'strerror', None) or error}") from error
    try:
        await _talk(order, streams)
    except ConnectionError as error:
        await streams.ended(LAST_WORDS)
        code = agent.get_returncode()
        how = "the conversation" if code is None else f"by signal {-code}" if code < 0 else f"with exit code {code}"
        raise Failed("ended", f"{order.argv[0]} ended {how}, without a result") from error
    finally:
        assert streams.stdin is not None
        for ask in (streams.stdin.close, agent.terminate, agent.kill):
            with suppress(ProcessLookupError):
                ask()
            if await streams.ended(LEAVING):
                break
        agent.close()


async def _talk(order: Order, streams: _Streams) -> None:
    """The conversation. Raises Failed, ConnectionError if the agent ends too early, CancelledError after a SIGTERM."""
    # The library takes a second to import: the agent starts meanwhile.
    from branchline.agents.acp_runner.session import converse

    assert streams.stdin is not None
    assert streams.stdout is not None
    talk = asyncio.create_task(converse(order, streams.stdin, streams.stdout))
    gone = asyncio.create_task(streams.gone.wait())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, talk.cancel)
    await asyncio.wait({talk, gone}, return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    try:
        await asyncio.wait_for(talk, LAST_WORDS)
    except TimeoutError as error:
        raise ConnectionError from error


def main(path: str) -> int:
    """Carry out the order in a file; the exit code."""
    order = msgspec.convert({**json.loads(Path(path).read_bytes()), "worktree": os.getcwd()}, Order)
    try:
        asyncio.run(carry_out(order))
    except Failed as failed:
        emit("error", kind=failed.kind, message=failed.message, code=failed.code)
        return 1
    except asyncio.CancelledError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
