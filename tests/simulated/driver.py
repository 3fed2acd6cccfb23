"""A driver whose attempts take simulated time, are late, come twice, and die with their coordinator."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from branchline.core.work import Failure, Result, Success
from branchline.engine.driver import Done, Job
from branchline.process.spawn import KillSwitch
from simulated.fate import Fate, require
from simulated.monitor import Monitor

KILL_MS = 2_000


class SimSwitch(KillSwitch):
    """There is no process to end."""

    def pull(self, reason: str) -> None:
        """The first reason stays."""
        self.reason = self.reason or reason


@dataclass(slots=True)
class Active:
    """An attempt under way. `until` is in Unix milliseconds."""

    job: Job
    until: int
    switch: SimSwitch
    limit: int | None = None


class SimDriver:
    """`branchline.engine.driver.Driver` on a fake clock, one for each life of a coordinator.

    `monitor` knows which attempt of a task is durably under way; `due` says when anything else wakes the loop up.
    """

    def __init__(self, fate: Fate, monitor: Monitor, due: Callable[[], int | None]) -> None:
        self.fate, self._monitor, self._due = fate, monitor, due
        self.active: dict[str, Active] = {}
        self._late: list[Done] = []

    def start(self, job: Job) -> None:
        """Begin; what begins is in the ledger before."""
        self.fate.effect()
        name = job.task_id
        require(
            self._monitor.recorded(name) == job.attempt, f"{name} attempt {job.attempt} began before it was recorded"
        )
        require(name not in self.active, f"{name} was started twice")
        takes = int(self.fate.chance.expovariate(1 / 20_000))
        limit = None if job.timeout is None else self.fate.now + round(job.timeout * 1000)
        self.active[name] = Active(job, self.fate.now + takes, SimSwitch(), limit)

    def wait(self, timeout: float | None) -> list[Done]:
        """The attempts that end next. Time runs to the next thing that happens, however long that is."""
        self.fate.effect()
        for name, active in self.active.items():
            left_alone = active.switch.reason is None and self._monitor.to_end(name)
            require(not left_alone, f"{name} goes on in a run that was cancelled")
        late, self._late = self._late, []
        if late and self.fate.happens(0.5):
            return late
        moments = [m for active in self.active.values() for m in (active.until, active.limit) if m is not None]
        others = self._due()
        require(moments or others is not None or timeout is not None, "the loop waits for nothing")
        self.fate.now = max(self.fate.now, min([*moments, *([] if others is None else [others])], default=0))
        self._expire()
        ended = sorted(n for n, active in self.active.items() if active.until <= self.fate.now)
        self.fate.chance.shuffle(ended)
        return late + [self._end(name) for name in ended]

    def _expire(self) -> None:
        for active in self.active.values():
            if active.limit is None or active.limit > self.fate.now or active.until <= self.fate.now:
                continue
            active.limit = None
            active.switch.pull("timeout")
            active.until = self.fate.now + (KILL_MS if active.job.killable else 0)

    def _end(self, name: str) -> Done:
        active = self.active[name]
        if active.switch.reason == "timeout" and not active.job.killable:
            result: Result = Failure("it did not end in time", error_class="timeout")
        else:
            result = carried_out(active)
        del self.active[name]
        done = Done(name, active.job.attempt, result)
        if self.fate.happens(0.05):  # an answer that comes again, when its attempt is over
            self._late.append(replace(done, result=Success(outputs={"eligible": 1, "late": True})))
        return done

    def kill(self, task_id: str, reason: str) -> None:
        """It ends soon, one way or the other."""
        self.fate.effect()
        active = self.active.get(task_id)
        if active is not None and active.switch.reason is None:
            active.switch.pull(reason)
            active.until = min(active.until, self.fate.now + self.fate.chance.randrange(KILL_MS))

    def close(self) -> None:
        """Whatever still runs is over with its coordinator."""


def carried_out(active: Active) -> Result:
    """As the local driver does it; a fault of ours ends in the ledger."""
    try:
        return active.job.work(active.switch)
    except ZeroDivisionError as error:
        return Failure(f"internal error: {error}", error_class="internal", retryable=False)
