"""Questions about what people wrote: gates, set-up, ports, and the ways from a gate back into the checkout."""

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from branchline.attempt.preflight.remark import Remark
from branchline.attempt.setup import files_to_copy
from branchline.attempt.ways_back import ways_back
from branchline.config.settings import Settings, Setup
from branchline.core.model.plan import Plan
from branchline.core.model.sandbox import ASKED_FOR
from branchline.core.model.verdict import Gate
from branchline.core.rules.linear import compiled
from branchline.git.repo import Repo
from branchline.process.environment import allowed
from branchline.sandbox.bubblewrap import Sandbox
from branchline.sandbox.probe import INSTALL

PORT = compiled(r"(?:--port[= ]|(?:localhost|127\.0\.0\.1|0\.0\.0\.0):|\bPORT=|runserver )(\d{2,5})\b")
SHOWN = 3


def of_gates(gates: tuple[Gate, ...]) -> Iterator[Remark]:
    """Gates whose tool is not here."""
    if not gates:
        yield Remark(
            "gates",
            "there are no gates, so nothing will be verified",
            "branchline init, or `gates:` in branchline.yaml",
        )
    for gate in gates:
        tool = gate.verify[0]
        if shutil.which(tool) or "/" in tool:
            continue
        if gate.required:
            yield Remark(f"gate {gate.id}", f"gate {gate.id} is required, and {tool} is not installed", stops=True)
        else:
            text = f"gate {gate.id} will be skipped: its tool {tool} is not installed"
            yield Remark(f"gate {gate.id}", text)


def of_setup(repo: Repo, commit: str, setup: Setup, *, mounted: bool) -> Iterator[Remark]:
    """Entries of `setup` that bring nothing. `mounted`: shared folders are mounted, also over those of the repository."""
    for entry in setup.copy:
        if not files_to_copy(repo.root, (entry,)):
            yield Remark("setup", f"setup.copy has {entry!r}, and there is no such file in {repo.root}")
    for name in setup.symlink:
        if not os.path.exists(repo.root / name):
            yield Remark("setup", f"setup.symlink has {name!r}, which is not in {repo.root}")
        elif not mounted and repo.refs.status_of("cat-file", "-e", f"{commit}:{name.rstrip('/')}").code == 0:
            text = f"setup.symlink has {name!r}, which is in the repository: workspaces have their own, and no link"
            yield Remark("setup", text)


def of_ports(plan: Plan | None, settings: Settings, *, apart: bool) -> Iterator[Remark]:
    """Gates that name a port, where several workstreams are gated at once; `apart`: each has a loopback of its own."""
    if apart or settings.max_parallel == 1 or (plan is not None and len(plan.ids) == 1):
        return
    for gate in settings.gates:
        words = [*gate.verify, *(gate.fix or ()), *(f"{name}={value}" for name, value in gate.env.items())]
        if port := PORT.search(" ".join(words)):
            text = f"gate {gate.id} uses port {port[1]}: workstreams that are checked at the same time share it"
            yield Remark(
                f"gate {gate.id}", text, "max_parallel: 1, or a free port (0), or sandbox: {network: loopback}"
            )


def of_ways_back(root: Path, environ: Mapping[str, str], settings: Settings, sandbox: Sandbox) -> Iterator[Remark]:
    """Ways by which gates could test the user's checkout in place of a batch."""
    environ, inside = allowed(environ, pass_=settings.env), sandbox.on
    ways = ways_back(root, environ, settings.setup, settings.gates, sandboxed=inside) if settings.gates else []
    if not ways:
        return
    more = f" (and {len(ways) - SHOWN} more)" if len(ways) > SHOWN else ""
    text = f"gates could test your checkout in place of an agent's work: {'; '.join(ways[:SHOWN])}{more}"
    if inside:
        mend = f"pip install --editable {shlex.quote(str(root))}"
        yield Remark("sandbox", text, mend, stops=not settings.setup.run)  # set-up may make an environment of its own
        return
    shut = "unset BRANCHLINE_SANDBOX, or drop `sandbox.rung`" if sandbox.fact.why == ASKED_FOR else INSTALL
    start = f"{shut}  # or start without them, such as by: deactivate"
    yield Remark("sandbox", f"without a sandbox, {text}", start, stops=True)
