"""One coordinator killed at one point, its run taken up - and killed again, and taken up - and compared."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from crash.checks import Result, faults, lost, result
from crash.seam import Failpoint
from crash.stage import Ended, Stage, answer
from crash.stories import STORIES, Command, Story

MOST_COMMANDS = 12
RESUME = ("resume", "--json")
ENDED = "nothing to resume"
REFUSED = '"error": {'  # some refusals and a run that was cancelled share an exit code


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """A moment to kill at. `command`: which of the story's; `at`: the deed, or the call of `call`, by its number.

    `git`: what becomes of the git that is started there. `again`: the deeds of the following resumes to kill at.
    """

    story: str
    command: int
    at: int
    call: str = ""
    git: str = ""
    again: tuple[int, ...] = ()

    def __str__(self) -> str:
        words = [self.story, str(self.command), f"{self.call or 'deed'}-{self.at}", *([self.git] if self.git else [])]
        return "/".join(words) + "".join(f"+{number}" for number in self.again)

    @classmethod
    def parse(cls, text: str) -> "Point":
        """The inverse of `str`."""
        first, *again = text.split("+")
        story, command, place, *git = first.split("/")
        call, _, at = place.rpartition("-")
        call = "" if call == "deed" else call
        return cls(story, int(command), int(at), call, git[0] if git else "", tuple(map(int, again)))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a point. `kind` and `where` say where it really hit; `kills`: how often, 0 if it was not reached."""

    point: str
    kind: str
    where: str
    kills: int
    faults: tuple[str, ...]


@dataclass(slots=True)
class Course:
    """A story on its way to its end."""

    stage: Stage
    story: Story
    command: int
    again: list[int] = field(default_factory=list)
    kills: int = 0
    deeds: int = 0  # of the first resume
    wrong: list[str] = field(default_factory=list)


class Laboratory:
    """Stories as nobody disturbs them, kept as they are before each command; and the trials against them."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._wanted: dict[str, Result] = {}

    def undisturbed(self, name: str) -> list[Ended]:
        """Carry a story out once. Its commands' ends; raises AssertionError if one does not end as it should."""
        stage, story = self.stage, STORIES[name]
        for left in (stage.project, stage.state):
            shutil.rmtree(left, ignore_errors=True)
        story.make(stage.project)
        story.ask(stage.folder)
        ends = []
        for number, command in enumerate(story.commands):
            stage.keep(f"{name}-{number}")
            ends.append(stage.command(command.args))
            assert ends[-1].code == command.code, f"{name}: {command.args[0]} exits {ends[-1].code}: {ends[-1].said}"
        self._wanted[name] = result(stage)
        wrong = faults(stage, self._wanted[name], 0) + stage.survivors()
        assert not wrong, f"{name}: undisturbed, {'; '.join(wrong)}"
        return ends

    def attempt(self, point: Point, deeper: Sequence[int], seed: int) -> Iterator[Outcome]:
        """Kill at a point and take up; then the same again with further kills, each number of `deeper` so many."""
        if point.story not in self._wanted:
            self.undisturbed(point.story)
        stage, story = self.stage, STORIES[point.story]
        story.ask(stage.folder)
        stage.put_back(f"{point.story}-{point.command}")
        command = story.commands[point.command]
        before = stage.ledger
        ended = stage.command(command.args, Failpoint(0 if point.call else point.at, point.git), trace=_trace(point))
        kind, where = _hit(point, ended)
        if deeper:
            stage.keep("killed")
        course = self._finished(point, ended, before)
        yield Outcome(str(point), kind, where, course.kills, tuple(course.wrong))
        chance = Random(f"{seed} {point}")
        for number in deeper if course.kills and course.deeds else ():
            again = tuple(chance.randint(1, 1 + course.deeds // number) for _ in range(number))
            stage.put_back("killed")
            deep = replace(point, again=again)
            later = self._finished(deep, ended, before)
            yield Outcome(str(deep), f"{kind}, then resumes", where, later.kills, tuple(later.wrong))

    def _finished(self, point: Point, ended: Ended, before: bytes) -> Course:
        course = Course(self.stage, STORIES[point.story], point.command, list(point.again))
        _follow(course, ended, before)
        if not course.wrong:
            course.wrong += faults(self.stage, self._wanted[point.story], course.kills)
        course.wrong += [f"the process {name!r} is left" for name in self.stage.survivors()]
        return course


def _trace(point: Point) -> tuple[str, ...]:
    if not point.call:
        return ()
    inject = f"{point.call}:signal=SIGKILL:when={point.at}"
    return ("-b", "execve", "-o", "/dev/null", "-e", f"trace={point.call}", "-e", f"inject={inject}")


def _hit(point: Point, ended: Ended) -> tuple[str, str]:
    """The kind of a kill, and the place where it hit."""
    if point.call:
        return f"system call {point.call}", f"number {point.at}"
    deeds = ended.deeds[: point.at]  # other threads may have told of theirs in the meantime
    effect, what, step = deeds[-1] if deeds else ("", "", "")
    place = f"{what} [{step}] {sum(deed[:2] == (effect, what) for deed in deeds)}"
    if point.git:
        where = f"{effect}: {place}"
        return (
            ("git goes on alone", where)
            if point.git == "orphan"
            else ("git dies halfway too", f"{where} at {point.git}")
        )
    if effect in {"record", "torn"}:
        return {"record": "after a record", "torn": "in a record"}[effect], place
    return f"before: {effect}", place


def _follow(course: Course, ended: Ended, before: bytes) -> None:
    """Do what a user would, until the story has come to its end or something is wrong."""
    stage, commands = course.stage, course.story.commands
    given, first = commands[course.command].args, True
    for _ in range(MOST_COMMANDS):
        course.wrong += lost(before, stage.ledger, ended.synced)
        before = stage.ledger
        if ended.killed:
            course.kills += 1
            given = _after_kill(commands[course.command], stage)
        else:
            if _over(course, given, ended):
                return
            given = commands[course.command].args
        point = Failpoint(course.again.pop(0)) if course.again and ended.killed else Failpoint()
        ended = stage.command(given, point)
        if first and not point.at:
            course.deeds = len(ended.deeds)
        first = False
    course.wrong.append(f"it does not end in {MOST_COMMANDS} commands")


def _after_kill(command: Command, stage: Stage) -> tuple[str, ...]:
    return command.args if command.resumed is None or b"\n" not in stage.ledger else RESUME


def _over(course: Course, given: tuple[str, ...], ended: Ended) -> bool:
    """Whether there is nothing more to do; goes on to the story's next command."""
    commands = course.story.commands
    command = commands[course.command]
    resumed = given == RESUME
    wanted = command.resumed if resumed else command.code
    done = (ended.code == wanted and REFUSED not in ended.said) or (resumed and ENDED in ended.said)
    if not done and not (resumed and ended.code == 4):  # 4: the command had not come to say what it was to say
        course.wrong.append(f"{given[0]} exits {ended.code}: {answer(ended)}")
        return True
    course.command += done
    return course.command == len(commands)
