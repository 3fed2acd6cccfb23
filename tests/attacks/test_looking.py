"""Input B7: looking at a repository starts nothing that the repository names."""

from pathlib import Path

import pytest

from support import Project

COMMANDS = (["doctor"], ["agents"])
MORE = (["doctor", "--repair"], ["list"], ["context", "what is x"], ["status"], ["costs"])
DOORS = {
    "version": "agents: [{{id: x, command: [sh], version: [sh, -c, 'touch {canary}']}}]",
    "command": "agents: [{{id: x, command: [{script}]}}]",
    "program of an adapter": "agents: [{{id: x, use: claude_code, program: {script}}}]",
    "program of a preset": "agents: [{{id: x, use: gemini, program: {script}, version: [{script}]}}]",
    "program of acp": "agents: [{{id: x, use: acp, program: {script}}}]",
    "a gate": "gates: [{{id: g, verify: [{script}]}}]",
    "a set-up": "setup: {{run: [[{script}]]}}",
    "a built-in's name": "agents: [{{id: claude_code, use: claude_code, program: {script}}}]",
}


@pytest.mark.parametrize("door", DOORS)
def test_looking_runs_no_command_of_the_repository(tmp_path: Path, door: str) -> None:
    project, canary = Project.make(tmp_path / "p"), tmp_path / "canary"
    script = project.root / "evil.sh"
    project.commit("evil", {"evil.sh": f"#!/bin/sh\ntouch {canary}\n"})
    script.chmod(0o755)
    settings = DOORS[door].format(canary=canary, script=script)
    project.commit("settings", {"branchline.yaml": f"version: 1\nagent: scripted\n{settings}\n"})
    for command in COMMANDS:
        assert "Traceback" not in project.branchline(*command).err
        assert not canary.exists(), command
    (tmp_path / "plan.yaml").write_text("version: 1\nworkstreams: [{id: a, agent: x}]\n")
    if door not in {"a gate", "a set-up"}:
        project.branchline("doctor", "--plan", str(tmp_path / "plan.yaml"))
        assert not canary.exists()


def test_the_users_own_hooks_and_pager_are_not_asked(tmp_path: Path) -> None:
    """What a git configuration of the repository names: git runs it for others, not when we look."""
    project, canary = Project.make(tmp_path / "p"), tmp_path / "canary"
    for name in (
        "core.fsmonitor",
        "core.pager",
        "core.editor",
        "diff.external",
        "core.sshCommand",
        "credential.helper",
    ):
        project.git("config", name, f"!touch {canary}" if "credential" in name else f"touch {canary}")
    for command in (*COMMANDS, *MORE):
        project.branchline(*command)
        assert not canary.exists(), command
