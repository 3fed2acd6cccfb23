"""Which tool of a project would follow the link `.runs`, and take what is in the record for the project's files."""

from pathlib import Path


def followed_by(root: Path) -> str:
    """The name of a tool that would follow the link; empty if there is none."""
    return ""
