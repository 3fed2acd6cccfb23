"""One answer of preflight, for a run and for `doctor`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from branchline.core.refs import Obstacle


@dataclass(frozen=True, slots=True)
class Remark:
    """What stands in a run's way, or is worth a word. `command`: what to type; `stops`: no run can begin like that."""

    subject: str
    text: str
    command: str = ""
    stops: bool = False

    def __str__(self) -> str:
        return f"{self.text}: {self.command}" if self.command else self.text


def remarks_on(subject: str, obstacles: Iterable[Obstacle]) -> Iterator[Remark]:
    """What git, or the names of refs, put in a run's way."""
    return (Remark(subject, one.text, one.command, stops=one.fatal) for one in obstacles)


def commands(remarks: Iterable[Remark]) -> str:
    """What to type for all of them, a line each."""
    return "\n".join(dict.fromkeys(one.command for one in remarks if one.command))
