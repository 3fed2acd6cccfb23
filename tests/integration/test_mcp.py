"""`branchline mcp`, as a real process, spoken to by the official SDK's client; and what it says where it cannot start."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters
from mcp.types import CallToolResult, TextContent

from support import Project

SECONDS = 60
FILES = {
    "src/session.py": 'class Session:\n    """Who is logged in."""\n\n    def login(self, name: str) -> None:\n'
    "        self.name = name\n",
    "src/report.py": "def report(rows: list[int]) -> str:\n    return ', '.join(map(str, rows))\n",
    "tests/test_session.py": "from src.session import Session\n\n\ndef test_login() -> None:\n    Session().login('x')\n",
    "README.md": "# A project\n\nSessions and reports.\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "project", FILES)


def spoken(project: Project, talk: Callable[[Client], Awaitable[None]], *args: str) -> None:
    """Start the server in a project and talk to it; it must be gone afterwards."""

    async def run() -> None:
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "branchline", "mcp", *args], cwd=project.root, env=dict(os.environ)
        )
        with anyio.fail_after(SECONDS):
            async with Client(server) as client:
                await talk(client)

    anyio.run(run)


def text(result: CallToolResult) -> str:
    [content] = result.content
    assert isinstance(content, TextContent)
    return content.text


async def answer(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, text(result)
    found: dict[str, Any] = json.loads(text(result))
    return found


async def refusal(client: Client, name: str, **arguments: Any) -> str:
    result = await client.call_tool(name, arguments)
    assert result.is_error
    return text(result)


def test_the_tools_say_what_they_take(project: Project) -> None:
    async def talk(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"context_manifest", "context_search", "context_explain"}
        for tool in tools.values():
            assert tool.description
            assert tool.input_schema["type"] == "object"
            assert tool.input_schema["additionalProperties"] is False
            assert all(member["description"] for member in tool.input_schema["properties"].values())
            assert tool.annotations is not None
            assert tool.annotations.read_only_hint
        assert tools["context_manifest"].input_schema["required"] == ["task"]

    spoken(project, talk)


def test_a_manifest_has_the_bytes_of_the_command_line(project: Project) -> None:
    request = {"task": "login fails", "task_type": "plan", "targets": ["README.md"], "max_tokens": 5000, "max_files": 3}

    async def talk(client: Client) -> None:
        told = text(await client.call_tool("context_manifest", {**request, "keywords": ["Session"]}))
        printed = project.branchline(
            *("context", "login fails", "--task-type", "plan", "--target", "README.md", "--keywords", "Session"),
            *("--max-tokens", "5000", "--max-files", "3", "--json"),
        )
        assert told == printed.out
        assert [file["path"] for file in json.loads(told)["files"]][:2] == ["README.md", "src/session.py"]

    spoken(project, talk)


def test_search_and_explain(project: Project) -> None:
    async def talk(client: Client) -> None:
        found = await answer(client, "context_search", text="login session", limit=2)
        assert {file["path"] for file in found["files"]} == {"src/session.py", "tests/test_session.py"}
        assert all(file["score"] > 0 and file["reasons"] for file in found["files"])
        told = await answer(client, "context_explain", path="src/session.py", text="login session")
        assert (told["path"], told["included"]) == ("src/session.py", True)
        assert told["rank"] in {1, 2}

    spoken(project, talk)


def test_the_files_are_looked_at_anew(project: Project) -> None:
    async def talk(client: Client) -> None:
        before = await answer(client, "context_search", text="zebra crossing")
        assert before["files"] == []
        project.write({"src/zebra.py": "def crossing() -> None:\n    zebra = 1\n"})
        after = await answer(client, "context_search", text="zebra crossing")
        assert [file["path"] for file in after["files"]] == ["src/zebra.py"]

    spoken(project, talk)


def test_wrong_questions_are_told_to_the_model_and_break_nothing(project: Project) -> None:
    async def talk(client: Client) -> None:
        assert "`$.limit`" in await refusal(client, "context_search", text="x", limit=0)
        assert "`text`" in await refusal(client, "context_search")
        assert "unknown field `limits`" in await refusal(client, "context_search", text="x", limits=3)
        assert "is not in" in await refusal(client, "context_explain", path="/etc/passwd")
        assert "src/sesion.py" in await refusal(client, "context_manifest", task="x", targets=["src/sesion.py"])
        with pytest.raises(MCPError, match="there is no tool 'context'"):
            await client.call_tool("context", {})
        project.write({"branchline.yaml": "version: 1\ncontext: {max_files: none}\n"})
        assert "branchline.yaml:2:22" in await refusal(client, "context_manifest", task="x")
        (project.root / "branchline.yaml").unlink()
        assert (await answer(client, "context_search", text="login"))["files"]

    spoken(project, talk)


def test_a_root_that_goes_away(project: Project, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("words\n")

    async def talk(client: Client) -> None:
        assert await answer(client, "context_search", text="words")
        (tmp_path / "folder").rename(tmp_path / "gone")
        assert "is not there any more" in await refusal(client, "context_search", text="words")

    spoken(project, talk, "--root", str(tmp_path / "folder"), "--cache", str(tmp_path / "cache"))


HELLO = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}  # fmt: skip


def greeted(project: Project) -> subprocess.Popen[bytes]:
    """A server that has answered its first message."""
    process = subprocess.Popen(
        [sys.executable, "-m", "branchline", "mcp"],
        cwd=project.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"nonsense\n\xff\xfe\n" + json.dumps(HELLO).encode() + b"\n")
    process.stdin.flush()
    while (answered := json.loads(process.stdout.readline())).get("id") != 1:
        pass  # what is no message may be answered too
    assert answered["result"]["serverInfo"]["name"] == "branchline"
    return process


def test_what_is_no_message_is_survived_and_the_end_of_stdin_is_the_end(project: Project) -> None:
    with greeted(project) as process:
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert b"Traceback" not in err


def test_ctrl_c_ends_it_while_it_waits(project: Project) -> None:
    with greeted(project) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=SECONDS) == -signal.SIGINT


def test_a_client_that_went_away_is_no_crash(project: Project) -> None:
    with greeted(project) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 2, "method": "ping"}).encode() + b"\n")
        process.stdin.close()
        assert process.wait(timeout=SECONDS) == 0
        assert b"crashed" not in process.stderr.read()


def test_a_root_that_is_no_folder(project: Project) -> None:
    for root in ("README.md", "nowhere"):
        told = project.branchline("mcp", "--root", root)
        assert (told.code, told.out) == (2, "")
        assert root in told.err


def test_without_the_library_the_command_that_installs_it_is_said(project: Project, tmp_path: Path) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "mcp_types.py").write_text("raise ModuleNotFoundError(name='mcp_types')\n")
    told = project.branchline("mcp", PYTHONPATH=str(tmp_path / "path"))
    assert told.code == 2
    assert told.err.splitlines() == [
        "error: the library for MCP is not installed, or is older than 2",
        "hint: pip install 'mcp>=2'",
    ]
