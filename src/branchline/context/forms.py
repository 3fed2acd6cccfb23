"""In which form files are shown under a budget, so that a larger budget never shows less of any of them.

That holds exactly if what is shown under every budget is the beginning of one sequence of steps; so there is one, made
without looking at the budget and cut where the budget ends. What remains unused is less than what the next step costs.
Therefore small forms come first, and a large one waits until enough stands before it: as long as anything else is left
to show, what remains unused is less than SMALL, or than SHARE of what is used.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from branchline.core.model.manifest import Form, Mode

GROWTH: dict[Mode, tuple[int, int]] = {"outline": (1, 0), "excerpt": (2, 1), "full": (6, 5)}
"""File i of the queue, from 0, grows to a mode when file a * i + b comes in, in its smallest form."""
NEARLY = 1.3
"""A form is passed over if the next larger one costs at most so many times as much."""
SMALL, SHARE = 1500, 0.25
"""A form of more than SMALL tokens waits until it is at most this share of all that stands before it."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A file of the queue grows to a form; `cost` is what that adds, `size` what decides whether it waits."""

    file: int
    form: Form
    cost: int
    size: int


def distinct(forms: Sequence[Form], max_full: int) -> tuple[Form, ...]:
    """The forms to choose between, each clearly larger than the one before; `max_full`: tokens of a whole file, at most.

    None are left of a file that has no other form than a whole that is too large.
    """
    kept: list[Form] = []
    for form in reversed(forms):
        fits = form.mode != "full" or form.tokens <= max_full
        if fits and (not kept or kept[-1].tokens > NEARLY * form.tokens):
            kept.append(form)
    return tuple(reversed(kept))


def grown(queue: Sequence[tuple[Form, ...]], *, pinned: int, spent: int, limit: int) -> dict[int, Form]:
    """The files of a queue that are shown, by their place in it, and how. Best files come first.

    Each has its forms as `distinct` leaves them. `pinned`: so many files in front all come in before any of them grows.
    `spent`: tokens that are in use already, of the `limit`.
    """
    shown: dict[int, Form] = {}
    for step in _sequence(queue, pinned, spent):
        spent += step.cost
        if spent > limit:
            break
        shown[step.file] = step.form
    return shown


def _sequence(queue: Sequence[tuple[Form, ...]], pinned: int, spent: int) -> Iterator[_Step]:
    """All steps by their keys, but for those that wait.

    A file's forms stay in order: where one need not wait, neither need the smaller ones, which stand before it.
    """
    waiting: list[_Step] = []
    for step in _by_key(queue, pinned):
        waiting.append(step)
        while ready := next((s for s in waiting if s.size <= max(SMALL, SHARE * spent)), None):
            waiting.remove(ready)
            spent += ready.cost
            yield ready
    yield from waiting


def _by_key(queue: Sequence[tuple[Form, ...]], pinned: int) -> list[_Step]:
    keyed: list[tuple[int, _Step]] = []
    for file, forms in enumerate(queue):
        before = 0
        for number, form in enumerate(forms):
            factor, offset = GROWTH[form.mode] if number else (1, 0)
            is_first = file < pinned and not number
            key, size = (-1, 0) if is_first else (factor * file + offset, form.tokens)
            keyed.append((key, _Step(file, form, form.tokens - before, size)))
            before = form.tokens
    return [step for _, step in sorted(keyed, key=lambda pair: pair[0])]
