"""Chance, time and death in a simulated world: whatever no code decides comes from here, by one seed."""

import random


class Died(BaseException):
    """The coordinator was killed. No code of ours may catch it."""


class BrokenInvariant(AssertionError):
    """Something happened that must never happen."""


def require(holds: object, broken: str) -> None:
    """An invariant, checked in optimised runs too."""
    if not holds:
        raise BrokenInvariant(broken)


class Fate:
    """One world's dice, its clock (Unix milliseconds) and the number of effects that its coordinator has left."""

    def __init__(self, seed: int, now: int) -> None:
        self.chance, self.now = random.Random(seed), now
        self.effects = 0
        self.dead = False
        self._left = -1

    def revive(self, left: int) -> None:
        """A new coordinator, that dies before its effect number `left` (counted from 0); below 0 it does not."""
        self.dead, self._left = False, left

    def effect(self) -> None:
        """Called before everything that the world outside can see. Raises Died."""
        self.effects += 1
        if self._left == 0:
            self.dead = True
            raise Died
        self._left -= 1

    def happens(self, probability: float) -> bool:
        """Whether something of that probability happens now."""
        return self.chance.random() < probability

    def clock(self) -> int:
        """The time; it never stands quite still."""
        return self.now
