"""Which workstreams are likely to change the same files, for whoever has to accept a plan."""

from collections.abc import Iterable

from branchline.core.model.forecast import Collision
from branchline.views.format.text import table

LEAST_RISK = 0.1
SHOWN = 3


def collision_lines(collisions: Iterable[Collision]) -> list[str]:
    """The collisions that are worth a thought, the likeliest first, with a few of their files."""
    rows = [
        (f"{one.a}, {one.b}", f"{one.risk:.0%}", ", ".join(one.paths[:SHOWN]))
        for one in collisions
        if one.risk >= LEAST_RISK
    ]
    return ["", "Likely to change the same files", *table(rows)] if rows else []
