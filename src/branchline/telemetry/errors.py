"""What can go wrong when a trace leaves the ledger; the run itself is never touched by it."""

from branchline.errors import BranchlineError


class TelemetryError(BranchlineError):
    """A trace could not be written or sent."""
