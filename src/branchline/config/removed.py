"""Keys of `branchline.yaml` that earlier versions took."""

from typing import Any

import msgspec

from branchline.config.settings import Settings
from branchline.errors import InvalidInput

REMOVED = {
    "cassettes": "`cassettes` was removed in 0.2: models' answers are no longer recorded and replayed",
    "secrets.scanner": "`secrets.scanner` was removed in 0.2: gitleaks is a gate, `presets: [gitleaks]`",
}
"""By the key, with dots between it and the sections that it stood in: what to say of a file that still has it."""


def recorded_settings(pins: dict[str, Any]) -> Settings:
    """The settings that a run has pinned. Raises InvalidInput if an earlier version pinned a removed key."""
    recorded = pins["settings"]
    for key, message in REMOVED.items():
        value: Any = recorded
        for name in key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            raise InvalidInput(
                f"the run began with an earlier version of Branchline: {message}",
                hint="finish it with that version, or start a new run: branchline run",
            )
    return msgspec.convert(recorded, Settings)
