"""How far what a run starts is shut in: what may be asked for, and what trying has shown."""

from typing import Annotated, Literal

import msgspec

from branchline.core.model.plan import Model

Rung = Literal[0, 1, 3]
RUNGS: dict[int, str] = {
    0: "nothing holds what is started but its process group",
    1: "limits, an environment by allow-list, every process found and ended; no sandbox",
    3: "bubblewrap: writes and reads, network and processes shut in",
}
Host = Annotated[str, msgspec.Meta(pattern=r"^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$")]
Network = Literal["host", "loopback", "none"] | tuple[Host, ...]
Path = Annotated[str, msgspec.Meta(min_length=1)]
HTTPS = 443
ASKED_FOR = "it was not asked for"
"""Why there is no sandbox, if nothing hinders it."""


class SandboxSettings(Model, frozen=True, kw_only=True):
    """The sandbox of agents, gates and set-up commands; see the sandbox guide.

    `min`: nothing starts below that rung; `rung`: the one to use, `auto` is the best that works here. `network`: all of
    it; what configured addresses on this machine need; nothing; or those hosts alone (`pypi.org`, `*.npmjs.org:443`).
    Paths begin with `/` or `~/`, or else lie below the repository's top folder: `show` may be read although it lies in a
    folder that is hidden, `hide` may not, `writable` may be changed.
    """

    min: Rung = 0
    rung: Literal["auto", 1, 3] = "auto"
    network: Network = "host"
    show: tuple[Path, ...] = ()
    hide: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried in the sandbox: what must come of it, and what came of it."""

    name: str
    expected: Literal["allowed", "denied"]
    found: str

    @property
    def ok(self) -> bool:
        """Whether the sandbox holds in this."""
        return self.found == self.expected


class SandboxFact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The rung that a run uses, and by what; `why` it is not a higher one.

    `allowed` and `denied`: what was tried before, by what came of it, which was in each case what must come of it.
    """

    rung: Rung
    program: str = ""
    version: str = ""
    network: str | tuple[str, ...] = "host"
    why: str = ""
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()


def sandbox_words(fact: SandboxFact) -> str:
    """A sandbox in a few words."""
    if fact.rung < 3:
        return f"none (rung {fact.rung}): {fact.why or RUNGS[fact.rung]}"
    network = fact.network if isinstance(fact.network, str) else ", ".join(fact.network)
    tried = len(fact.allowed) + len(fact.denied)
    return f"rung 3, bubblewrap {fact.version}; network: {network}; {tried} of {tried} probes held"


def host_and_port(text: str) -> tuple[str, int]:
    """An entry of the allow-list in its parts; without a port that of https."""
    host, _, port = text.rpartition(":") if ":" in text else (text, "", HTTPS)
    return host.lower().rstrip("."), int(port)


def host_matches(entries: tuple[tuple[str, int], ...], host: str, port: int) -> bool:
    """Whether an entry names a host, or with `*.` a domain above it, at that port."""
    host = host.lower().rstrip(".")
    names = [name for name, own in entries if own == port]
    return host in names or any(name[:2] == "*." and host.endswith(name[1:]) and host != name[1:] for name in names)
