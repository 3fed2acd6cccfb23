"""Lengths of time as people write them: `10m`, `1h30m`, `500ms`, `90`."""

from typing import Annotated

import msgspec

from branchline.core.rules.linear import compiled

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"

Duration = Annotated[float, msgspec.Meta(gt=0)] | Annotated[str, msgspec.Meta(pattern=PATTERN)]


def seconds(duration: float | str) -> float:
    """Seconds of a duration; a plain number is seconds. Raises ValueError on any other form."""
    if not isinstance(duration, str):
        return float(duration)
    if not compiled(PATTERN).fullmatch(duration):
        raise ValueError(f"{duration!r} is not a duration such as 30s, 10m or 1h30m")
    return sum(
        float(number) * UNITS[unit] for number, unit in compiled(r"(?<![0-9.])([0-9.]++)(ms|s|m|h|d)").findall(duration)
    )
