"""What an agent may reach in a sandbox: its worktree and its folder, its login, the address of its model."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from branchline.agents.base import Agent
from branchline.core.model.agent import AgentRequest
from branchline.sandbox.bubblewrap import Access
from branchline.sandbox.mounts import own

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
PORTS = {"https": 443, "http": 80}
LOGINS: dict[str, dict[str, tuple[str, ...]]] = {
    "claude_code": {".claude": (".credentials.json",)},
    "codex": {".codex": ("auth.json",)},
    "aider": {".aider": ()},
    "gemini": {".gemini": ("oauth_creds.json", "google_accounts.json")},
    "qwen": {".qwen": ("oauth_creds.json",)},
    "opencode": {".local/share/opencode": ("auth.json",), ".config/opencode": ()},
    "pi": {".pi": ("agent/auth.json",)},
    "mini-swe-agent": {".config/mini-swe-agent": ()},
}
"""Folders of the user's home with an agent's login and settings, and the files in them that a login is renewed in."""

MOVED = {"claude_code": ("CLAUDE_CONFIG_DIR", ".claude"), "codex": ("CODEX_HOME", ".codex")}
"""The variables by which a login may be somewhere else."""


def access(agent: Agent, request: AgentRequest, environ: Mapping[str, str], *, metered: bool) -> Access:
    """What a request's attempt needs besides its workspace.

    `metered`: the request's endpoint is a proxy of ours, which is reached in any case.
    """
    host, port = _address(request.endpoint or agent.spec.base_url or agent.provider)
    local = host in LOOPBACK
    home, kind = Path(environ.get("HOME", os.devnull)), agent.spec.use or agent.spec.id
    logins = {home / folder: files for folder, files in LOGINS.get(kind, {}).items()}
    variable, usual = MOVED.get(kind, ("", ""))
    if variable in environ:
        logins[Path(environ[variable])] = logins.pop(home / usual)
    there = {
        folder.resolve(): files for folder, files in logins.items() if folder.is_dir() and agent.spec.home == "user"
    }
    return Access(
        mounts=own("write", Path(request.folder)),
        logins={folder: tuple(folder / file for file in files) for folder, files in there.items()},
        hosts=((host, port),) if host and not local else (),
        ports=(port,) if local else (),
        needed=metered,
        nests="sandbox" in agent.abilities,
    )


def reaches_out(agent: Agent) -> bool:
    """Whether an agent's model is on another machine, as far as its configuration tells."""
    host, _ = _address(agent.spec.base_url or agent.provider)
    return bool(host) and host not in LOOPBACK


def _address(url: str) -> tuple[str, int]:
    """Host and port of a base URL; no host if it is none."""
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or PORTS.get(parts.scheme, 443)
    except ValueError:
        return "", 443
