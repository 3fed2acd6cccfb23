"""What every driver owes its coordinator."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from branchline.core.work import Failure, Result, Success
from branchline.engine.driver import Done, Driver, Job, LocalDriver
from branchline.engine.inline_driver import InlineDriver
from branchline.process.spawn import KillSwitch, run

DRIVERS: list[Callable[[], Driver]] = [InlineDriver, LocalDriver]


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Driver:
    made: Driver = request.param()
    return made


def all_of(driver: Driver, count: int) -> list[Done]:
    found: list[Done] = []
    until = time.monotonic() + 20
    while len(found) < count and time.monotonic() < until:
        found += driver.wait(0.5)
    return found


def program(folder: Path, *argv: str) -> Callable[[KillSwitch], Result]:
    def work(kill: KillSwitch) -> Result:
        log = folder / "log"
        ended = run(argv, cwd=folder, env={"PATH": "/usr/bin:/bin"}, stdout=log, stderr=log, kill=kill)
        return Success() if ended.ok else Failure("it was ended", error_class=ended.reason or "exit_code")

    return work


def test_every_job_is_answered_once_under_its_own_name(driver: Driver) -> None:
    for number in range(8):
        driver.start(Job(f"t{number}", 1, lambda _kill, n=number: Success(outputs={"n": n})))  # type: ignore[misc] # mypy cannot infer a lambda with a default
    found = all_of(driver, 8)
    assert {done.task_id: done.result for done in found} == {f"t{n}": Success(outputs={"n": n}) for n in range(8)}
    assert driver.wait(0.01) == []


def test_waiting_ends_when_its_time_is_over(driver: Driver) -> None:
    started = time.monotonic()
    assert driver.wait(0.05) == []
    assert 0.04 < time.monotonic() - started < 5


def test_a_program_that_overruns_its_time_is_killed(driver: Driver, tmp_path: Path) -> None:
    driver.start(Job("slow", 1, program(tmp_path, "sleep", "30"), timeout=0.2))
    (done,) = all_of(driver, 1)
    assert isinstance(done.result, Failure)
    assert done.result.error_class == "timeout"


def test_a_callable_that_overruns_its_time_is_left_behind(driver: Driver) -> None:
    release = threading.Event()

    def late(_kill: KillSwitch) -> Result:
        release.wait(20)
        return Success(outputs={"late": True})

    started = time.monotonic()
    driver.start(Job("late", 1, late, timeout=0.1, killable=False))
    (done,) = all_of(driver, 1)
    assert time.monotonic() - started < 10
    release.set()
    assert isinstance(done.result, Failure)
    assert done.result.error_class == "timeout"
    assert driver.wait(0.2) == [], "its late result is ignored"


def test_work_past_the_point_of_no_return_is_waited_for(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A branch that moves must not move behind the ledger's back, however long its files take."""
    monkeypatch.setattr("branchline.engine.driver.KILL_SECONDS", 0.1)
    begun = threading.Event()

    def landing(kill: KillSwitch) -> Result:
        kill.must_finish = True
        begun.set()
        time.sleep(0.6)
        return Success(outputs={"cancelled": kill.reason})

    driver.start(Job("ship", 1, landing, timeout=0.2))
    assert begun.wait(5)
    driver.kill("ship", "cancelled")
    (done,) = all_of(driver, 1)
    assert isinstance(done.result, Success)


def test_work_that_raises_is_a_failure_with_its_traceback(driver: Driver) -> None:
    def broken(_kill: KillSwitch) -> Result:
        raise ZeroDivisionError("ours")

    driver.start(Job("t", 1, broken))
    (done,) = all_of(driver, 1)
    assert isinstance(done.result, Failure)
    assert (done.result.error_class, done.result.retryable) == ("internal", False)
    assert "in broken" in done.result.traceback


def test_a_second_attempt_is_not_taken_for_the_first(driver: Driver) -> None:
    driver.start(Job("t", 1, lambda _kill: Failure("first")))
    (first,) = all_of(driver, 1)
    driver.start(Job("t", 2, lambda _kill: Success()))
    (second,) = all_of(driver, 1)
    assert [(d.attempt, type(d.result)) for d in (first, second)] == [(1, Failure), (2, Success)]


def test_closing_ends_what_runs(tmp_path: Path) -> None:
    driver = LocalDriver()
    driver.start(Job("slow", 1, program(tmp_path, "sleep", "30"), timeout=25))
    while not (tmp_path / "log").exists():
        time.sleep(0.01)
    started = time.monotonic()
    driver.close()
    assert time.monotonic() - started < 10
    assert driver.wait(0.05) == [], "no results come any more"


def test_only_the_local_driver_works_on_several_jobs_at_once() -> None:
    together = threading.Barrier(3, timeout=10)

    def meet(_kill: KillSwitch) -> Result:
        together.wait()
        return Success()

    driver = LocalDriver()
    for name in "abc":
        driver.start(Job(name, 1, meet))
    assert len(all_of(driver, 3)) == 3


def test_a_killed_job_says_why(tmp_path: Path) -> None:
    driver = LocalDriver()
    driver.start(Job("slow", 1, program(tmp_path, "sleep", "30")))
    while not (tmp_path / "log").exists():
        time.sleep(0.01)
    driver.kill("slow", "cancelled")
    (done,) = all_of(driver, 1)
    assert isinstance(done.result, Failure)
    assert done.result.error_class == "cancelled"
