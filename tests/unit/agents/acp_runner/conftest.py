"""A conversation with a real agent process, in the tests' own process: the library is slow to import."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from branchline.agents.acp_runner.__main__ import carry_out
from branchline.agents.acp_runner.order import Order

AGENT = str(Path(__file__).with_name("acp_agent.py"))
Step = dict[str, Any]
Talk = Callable[..., list[Step]]


@pytest.fixture
def talk(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Talk:
    """Have the agent perform steps; the events. `settings` are the agent's, other words are the order's."""
    worktree = tmp_path / "w"
    (worktree / "src").mkdir(parents=True)

    def talk(*steps: Step, settings: Step | None = None, **members: Any) -> list[Step]:
        order = Order(
            argv=(sys.executable, AGENT, json.dumps(settings or {})),
            worktree=str(worktree),
            prompt=json.dumps(steps),
            **{"write": ("src/**",), "protect": ("src/vendor/**",), **members},
        )
        try:
            asyncio.run(carry_out(order))
        finally:
            told = capfd.readouterr()
        assert told.err == ""
        return [json.loads(line) for line in told.out.splitlines()]

    return talk
