"""One simulated run from its request to its end, through every death of its coordinator: the real core, the real loop."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from branchline.core.budget import Budget
from branchline.core.events import AttemptInterrupted, RunResumed
from branchline.core.model.plan import Plan
from branchline.core.rounds import reopen_round, retry_round
from branchline.core.run_state import RunState, replay
from branchline.core.scheduler import wake_at
from branchline.core.states import State
from branchline.engine.inbox import Inbox, Intent
from branchline.engine.loop import Coordinator
from branchline.errors import InvalidInput, LedgerError
from branchline.ledger.checkpoint import Scribe
from branchline.ledger.log import Ledger, Reading, behind, verified
from branchline.ledger.log import require as require_sense
from branchline.ledger.paths import RunPaths
from simulated.disk import SimDisk
from simulated.driver import SimDriver
from simulated.ends import check_end, check_money
from simulated.fate import BrokenInvariant, Died, Fate, require
from simulated.git import Twin
from simulated.monitor import Monitor
from simulated.steps import accepted, jobs
from simulated.story import START, TARGET, story
from simulated.world import World

PATHS = RunPaths(Path("/simulated"), "SIM")
MOST_LIVES, MOST_TURNS = 40, 20_000


class SimScribe(Scribe):
    """Checkpoint files are views: here nobody looks at them."""

    def __init__(self, _paths: RunPaths) -> None:
        """No thread."""

    def note(self, state: RunState, task_id: str, at: int) -> None:
        """Not written."""

    def note_run(self, state: RunState, *, checkpoint_id: str, last_completed: str, at: int) -> None:
        """Not written."""

    def close(self) -> None:
        """Nothing is left."""


@dataclass(slots=True)
class Mail:
    """The folder of the inbox: what people asked, from which time on; how many letters went."""

    gone: int = 0
    letters: list[tuple[int, Intent]] = field(default_factory=list)


class SimInbox(Inbox):
    """Letters go only when the ledger has them; until then whoever comes next finds them again."""

    def __init__(self, mail: Mail, fate: Fate) -> None:
        self._mail, self._fate = mail, fate
        self._out: list[tuple[int, Intent]] = []

    def take(self) -> list[Intent]:
        """What has come and was not taken yet."""
        new = [one for one in self._mail.letters if one[0] <= self._fate.now and one not in self._out]
        self._out += new
        return [intent for _, intent in new]

    def pending(self) -> bool:
        """Whether anything has come that nobody has taken."""
        return any(at <= self._fate.now and (at, intent) not in self._out for at, intent in self._mail.letters)

    def forget(self) -> None:
        """The ledger has them."""
        for one in self._out:
            self._fate.effect()
            self._mail.letters.remove(one)
            self._mail.gone += 1
        self._out = []


@dataclass(slots=True)
class Tally:
    """What a run amounted to, for the table."""

    status: str
    events: int
    effects: int
    crashes: int
    resumes: int
    faults: int


class Life:
    """One run. `live` is one coordinator's time."""

    def __init__(self, seed: int) -> None:
        self.story = story(seed)
        self.fate = Fate(seed, START)
        self.disk = SimDisk(self.fate, self.story.trouble)
        self.world = World(self.fate, self.story, Twin(self.fate))
        self.watch(Monitor(self.fate))
        self.mail = Mail()
        self.crashes = self.faults = self.reopened = 0
        self.git_mark = ""
        self.state = RunState()

    def watch(self, monitor: Monitor) -> None:
        """Have that one see every durable record."""
        self.monitor, self.disk.watch = monitor, monitor.take
        self.world.taken_in, self.world.starts, self.world.shipped = monitor.taken_in, monitor.starts, monitor.shipped

    def run(self) -> Tally:
        """Until nobody wants anything more of it."""
        for number in range(MOST_LIVES):
            self._plot(number)
            try:
                if not self.live():
                    break
            except Died:
                self._crashed()
            except LedgerError as error:
                require("cannot write" in error.message, error.message)
                self.faults += 1
                self._check_disk()
        else:
            raise BrokenInvariant("the run does not end")
        check_end(self.world, self.monitor, self.state)
        end = self.state.end
        assert end is not None
        done = self.fate.effects
        return Tally(end.status, self.monitor.records, done, self.crashes, self.monitor.resumes, self.faults)

    def _plot(self, number: int) -> None:
        """When this coordinator is to die, and what people and the machine do meanwhile."""
        deadly = number < MOST_LIVES // 4 and self.fate.happens(self.story.deadly)
        self.fate.revive(self.fate.chance.randrange(1, 150) if deadly else -1)
        self.disk.trouble = self.story.trouble if number < MOST_LIVES // 4 else 0.0
        if number == 0 and self.fate.happens(self.story.disturbed):
            self._write_letters()

    def _write_letters(self) -> None:
        chance = self.fate.chance
        for _ in range(chance.randrange(1, 3)):
            at = self.fate.now + chance.randrange(200_000)
            if chance.random() < 0.4:
                self.mail.letters.append((at, Intent(kind="cancel", by="somebody")))
            else:
                name = chance.choice([task.id for task in self.story.started.tasks])
                self.mail.letters.append((at, Intent(kind="retry", by="somebody", task_id=name)))

    def live(self) -> bool:
        """Take the run up, drive it; whether anybody wants more of it then."""
        reading = verified(bytes(self.disk.data), self.disk.mark_read(), PATHS.run_id)
        require(reading.fault is None, f"the ledger does not verify: {reading.fault}")
        coordinator = self._taken_up(reading) if reading.records else self._begun(reading)
        self.state = coordinator.state
        coordinator.run()
        if self.state.end is None or self._wanted(self.state):
            return True
        if self.fate.happens(0.25):
            self._check_replay()
        return False

    def _check_replay(self) -> None:
        """Whoever reads the ledger later has the state that the coordinator had."""
        reading = verified(bytes(self.disk.data), self.disk.mark_read(), PATHS.run_id)
        require(reading.fault is None and not reading.torn, f"the ledger does not verify: {reading.fault}")
        require(len(reading.records) == self.monitor.records, "a durable record is lost")
        require(replay(r.event for r in reading.records) == self.state, "a replay differs")

    def _begun(self, reading: Reading) -> Coordinator:
        self.watch(Monitor(self.fate))  # nothing was ever durable
        ledger = Ledger(PATHS, epoch=1, clock=self.fate.clock, disk=self.disk)
        ledger.continue_from(reading)
        state = RunState()
        state.apply(self.story.started)
        ledger.append([self.story.started])
        return self._coordinator(ledger, state)

    def _taken_up(self, reading: Reading) -> Coordinator:
        """As `engine.recover` and `engine.pipeline` do it."""
        if self.git_mark:
            number, _, sha = self.git_mark.partition(" ")
            fault = behind(reading.records, reading.size, int(number), sha)
            require(fault is None, f"git's mark says: {fault}")
        state = require_sense(reading, PATHS)
        ledger = Ledger(PATHS, epoch=reading.records[-1].epoch + 1, clock=self.fate.clock, disk=self.disk)
        ledger.continue_from(reading)
        self.disk.show()
        require(len(reading.records) == self.monitor.records, "a durable record is lost")
        coordinator = self._coordinator(ledger, state)
        lost = sorted(state.running)
        coordinator.note(*(AttemptInterrupted(task_id=n, attempt=state.records[n].attempt) for n in lost))
        ended = state.end is not None
        coordinator.note(RunResumed(by="sim", budget=self._more_money()))
        self._reopen(coordinator, ended=ended)
        return coordinator

    def _wanted(self, state: RunState) -> bool:
        """Whether somebody resumes a run that has ended."""
        if self.reopened >= 2 or not self.fate.happens(self.story.disturbed):
            return False
        self.reopened += 1
        return state.open > 0 or bool(reopen_round(state))

    def _more_money(self) -> Budget | None:
        limit = self.monitor.budget
        if not limit.limited or not self.fate.happens(0.2):
            return None
        spent = sum(self.world.paid.values())
        return msgspec.structs.replace(limit, run=spent + 10, attempt=None, workstream=None)

    def _coordinator(self, ledger: Ledger, state: RunState) -> Coordinator:
        driver = SimDriver(self.fate, self.monitor, lambda: self._due(state))
        self.driver = driver
        return Coordinator(
            ledger=ledger,
            state=state,
            driver=driver,
            job=jobs(self.world),
            inbox=SimInbox(self.mail, self.fate),
            observers=(self._look,),
            on_checkpoint=self._mark,
            scribe=SimScribe,
        )

    def _due(self, state: RunState) -> int | None:
        letters = [at for at, _ in self.mail.letters if at > self.fate.now]
        due = wake_at(state, self.fate.now)
        return min([*letters, *([] if due is None else [due])], default=None)

    def _look(self, state: RunState, _records: object) -> None:
        self.fate.effect()
        require(self.monitor.records < MOST_TURNS, "the run goes round in circles")
        require({*state.running} == self.monitor.running, "the state has other tasks running than the ledger")
        require(self.mail.gone <= self.monitor.words, "what somebody asked is in neither inbox nor ledger")
        check_money(self.world, self.monitor)

    def _mark(self, ledger: Ledger) -> str:
        self.fate.effect()
        self.git_mark = f"{ledger.seq - 1} {ledger.sha}"
        return ""

    def _reopen(self, coordinator: Coordinator, *, ended: bool) -> None:
        state, chance = coordinator.state, self.fate.chance
        if state.awaiting:
            self._answer(coordinator)
        elif ended:
            self._ask_again(coordinator)
        shipping = any(state.records[name].task.step == "ship" for name in state.running)
        if self.fate.happens(self.story.disturbed / (1 if shipping else 6)):
            self.mail.letters.append((0, Intent(kind="cancel", by="somebody")))
        if self.fate.happens(self.story.disturbed / 4):
            try:
                coordinator.skip(chance.choice([*state.records]))
            except InvalidInput:
                return
        if self.fate.happens(self.story.disturbed / 4):  # others work too
            git = self.world.git
            there = git.refs[TARGET]
            files = {**git.files(there), chance.choice(("shared.txt", "foreign.txt")): "somebody"}
            git.refs[TARGET] = git.commit(git.tree(files), (there,), "foreign")

    def _ask_again(self, coordinator: Coordinator) -> None:
        """Somebody wants more of a run that has ended: from a checkpoint, of one task, or of all that failed."""
        state, chance = coordinator.state, self.fate.chance
        how = chance.random()
        if how < 0.2:
            names = [origin for origin, record in state.current().items() if record.state == State.COMPLETED]
            coordinator.rewind(chance.sample(names, chance.randrange(len(names) + 1)))
            return
        added = retry_round(state, chance.choice([*state.records])) if how < 0.5 else None
        if added is None or isinstance(added, str):
            added = reopen_round(state) if state.open == 0 else None
        if added:
            coordinator.note(added)

    def _answer(self, coordinator: Coordinator) -> None:
        """A person looks at what waits: accepts it, the plan maybe edited; or refuses it."""
        state, chance = coordinator.state, self.fate.chance
        if not state.plan_waits:
            for name, need in state.waiting.items():
                kind: Literal["approve", "reject"] = "reject" if self.fate.happens(0.2) else "approve"
                tree = "another" if self.fate.happens(0.1) else need.tree
                self.mail.letters.append((0, Intent(kind=kind, by="somebody", task_id=name, tree=tree)))
                if self.fate.happens(self.story.disturbed):  # and has it made again in the same breath
                    before = chance.choice(state.records[name].task.dependencies)
                    self.mail.letters.append((0, Intent(kind="retry", by="somebody", task_id=before)))
            return
        require(not state.running and state.proposed is not None, "a plan waits beside running tasks")
        if self.fate.happens(0.3):
            return
        if isinstance(self.story.answer, Plan):
            assert state.proposed is not None
            coordinator.note(accepted(state.proposed.task_id, self.story.answer, "somebody"))
        else:
            self.mail.letters.append((0, Intent(kind="cancel", by="somebody")))

    def _crashed(self) -> None:
        """The coordinator is gone, and with it, halfway, what its attempts were at; maybe the machine's power too."""
        self.crashes += 1
        for active in self.driver.active.values() if self.crashes and hasattr(self, "driver") else ():
            self.fate.revive(self.fate.chance.randrange(8))
            try:
                active.job.work(active.switch)
            except Died:
                continue
        self.fate.revive(-1)
        if self.fate.happens(0.3):
            self.disk.lose_power()

    def _check_disk(self) -> None:
        """After a fault of the disk: what is durable is there, and nothing else, unless the disk refused that too."""
        whole = self.disk.data.count(b"\n")
        require(whole >= self.monitor.records, "a fault of the disk took a record")
        clean = whole == self.monitor.records and bytes(self.disk.data[-1:]) in {b"", b"\n"}
        require(clean or self.disk.refused, "a write that failed was left halfway")


def simulate(seed: int) -> Tally:
    """One run from its seed. Raises BrokenInvariant, or whatever error of ours comes through."""
    return Life(seed).run()
