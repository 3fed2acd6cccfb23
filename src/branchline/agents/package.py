"""An adapter that an installed package brings: whatever it does wrong is told as its own fault, and harms nobody else."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, TypeVar

from branchline.agents.base import Ability, Agent, Probe, Reader
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Invocation, Progress
from branchline.core.model.agent_spec import AgentSpec
from branchline.errors import BranchlineError, InvalidInput
from branchline.process.spawn import Exit

T = TypeVar("T")


class AdapterFailed(InvalidInput):
    """An adapter raised what it must not raise, or gave what is none of the things that it must give."""


@dataclass(frozen=True, slots=True)
class PackagedAgent:
    """An agent by way of somebody else's adapter. What that raises becomes AdapterFailed, but for our own errors."""

    spec: AgentSpec
    abilities: frozenset[Ability]
    provider: str
    origin: str
    inner: Agent

    def probe(self) -> Probe:
        """The adapter's."""
        return self._asked(Probe, self.inner.probe)

    def prepare(self, request: AgentRequest) -> Invocation:
        """The adapter's."""
        return self._asked(Invocation, self.inner.prepare, request)

    def reader(self, request: AgentRequest) -> "PackagedReader":
        """The adapter's, which may stop in the middle and harms only its own attempt."""
        return PackagedReader(self._asked(object, self.inner.reader, request))

    def _asked(self, kind: type[T], ask: Callable[..., Any], *args: object) -> T:
        return _asked(self.spec, self.origin, kind, ask, *args)


class PackagedReader:
    """A reader that may fail. It is not asked again then, and the attempt's output counts as not understood."""

    def __init__(self, inner: Any) -> None:
        self._inner: Reader = inner
        self._problem = ""

    @property
    def progress(self) -> Progress:
        """The adapter's, as long as it works."""
        found = self._asked(lambda: self._inner.progress)
        return found if isinstance(found, Progress) else Progress()

    def line(self, data: bytes) -> None:
        """Pass a line on."""
        self._asked(lambda: self._inner.line(data))

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """The adapter's, or INVALID_OUTPUT with what became of it."""
        found = self._asked(lambda: self._inner.result(ended, stderr))
        if isinstance(found, AgentResult):
            return found
        problem = self._problem or f"it gave {type(found).__name__}, not AgentResult"
        message = f"its adapter cannot read what it printed: {problem}"
        return AgentResult(status=AgentStatus.INVALID_OUTPUT, message=message)

    def _asked(self, ask: Callable[[], object]) -> object:
        if self._problem:
            return None
        found, self._problem = _tried(ask)
        return found


def loaded(spec: AgentSpec, point: EntryPoint) -> PackagedAgent:
    """The agent of an entry point: something that takes the specification. Raises AdapterFailed."""

    def make() -> PackagedAgent:
        inner = point.load()(spec)
        return PackagedAgent(spec, frozenset(inner.abilities), str(inner.provider), _origin(point), inner)

    return _asked(spec, _origin(point), PackagedAgent, make)


def _asked(spec: AgentSpec, origin: str, kind: type[T], ask: Callable[..., Any], *args: object) -> T:
    found, problem = _tried(ask, *args)
    if problem:
        raise _failed(spec, origin, problem)
    if not isinstance(found, kind):
        raise _failed(spec, origin, f"it gave {type(found).__name__}, not {kind.__name__}")
    return found


def _failed(spec: AgentSpec, origin: str, what: str) -> AdapterFailed:
    return AdapterFailed(
        f"agent {spec.id}: the adapter {spec.use!r} failed: {what}", hint=f"reinstall {origin}, or name another agent"
    )


def _tried(ask: Callable[..., Any], *args: object) -> tuple[Any, str]:
    """What somebody else's code gives, or what it raises, in words; our own errors pass."""
    try:
        return ask(*args), ""
    except BranchlineError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is not our code, and may raise anything
        return None, f"{type(error).__name__}: {error}"


def _origin(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
