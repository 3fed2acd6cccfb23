"""An adapter that an installed package brings: what it does wrong fails its own attempt, as its own fault."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, TypeVar

from branchline.agents.base import Ability, Agent, Probe
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Invocation, Progress
from branchline.core.model.agent_spec import AgentSpec
from branchline.errors import BranchlineError, InvalidInput
from branchline.process.spawn import Exit

T = TypeVar("T")


class AdapterFailed(InvalidInput):
    """An adapter raised what it must not raise, or gave what is none of the things that it must give."""


def asked(spec: AgentSpec, kind: type[T], ask: Callable[[], Any]) -> T:
    """What an adapter gives. All that it raises but our own errors becomes AdapterFailed, and so does another kind."""
    try:
        return _a(kind, ask())
    except BranchlineError:
        raise
    except (SystemExit, Exception) as error:  # it is not our code, and may raise anything
        raise AdapterFailed(
            f"agent {spec.id}: the adapter {spec.use!r} failed: {type(error).__name__}: {error}",
            hint=f"reinstall the package that brings {spec.use!r}, or name another agent",
        ) from error


def loaded(spec: AgentSpec, point: EntryPoint) -> "PackagedAgent":
    """The agent of an entry point: something that takes the specification. Raises AdapterFailed."""

    def load() -> PackagedAgent:
        inner = point.load()(spec)
        return PackagedAgent(spec, frozenset(inner.abilities), str(inner.provider), inner)

    return asked(spec, PackagedAgent, load)


@dataclass(frozen=True, slots=True)
class PackagedAgent:
    """An agent whose adapter is not ours."""

    spec: AgentSpec
    abilities: frozenset[Ability]
    provider: str
    inner: Agent

    def probe(self) -> Probe:
        """As the adapter says. Raises AdapterFailed, like the others."""
        return asked(self.spec, Probe, lambda: self.inner.probe())  # noqa: PLW0108 - the look-up may fail too

    def prepare(self, request: AgentRequest) -> Invocation:
        """As the adapter says."""
        return asked(self.spec, Invocation, lambda: self.inner.prepare(request))

    def reader(self, request: AgentRequest) -> "PackagedReader":
        """The adapter's, held."""
        return PackagedReader(self.spec, asked(self.spec, object, lambda: self.inner.reader(request)))


class PackagedReader:
    """A reader that may fail. It is not asked again then, and the attempt's output counts as not understood."""

    def __init__(self, spec: AgentSpec, inner: Any) -> None:
        self._spec, self._inner, self._problem = spec, inner, ""

    @property
    def progress(self) -> Progress:
        """As the adapter says, as long as it works."""
        found = self._asked(object, lambda: self._inner.progress)
        return found if isinstance(found, Progress) else Progress()

    def line(self, data: bytes) -> None:
        """Pass a line on."""
        self._asked(object, lambda: self._inner.line(data))

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """As the adapter says, or INVALID_OUTPUT with what became of it."""
        found = self._asked(AgentResult, lambda: self._inner.result(ended, stderr))
        return found or AgentResult(status=AgentStatus.INVALID_OUTPUT, message=self._problem)

    def _asked(self, kind: type[T], ask: Callable[[], Any]) -> T | None:
        if not self._problem:
            try:
                return asked(self._spec, kind, ask)
            except AdapterFailed as failed:
                cause = failed.__cause__
                self._problem = f"its adapter cannot read what it printed: {type(cause).__name__}: {cause}"
        return None


def _a(kind: type[T], value: Any) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"it gave {type(value).__name__}, not {kind.__name__}")
    return value
