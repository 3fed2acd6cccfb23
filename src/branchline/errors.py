"""The errors a user can meet. One base, one boundary (`cli`), one exit code each.

BranchlineError                  1   the run failed
|- InvalidInput                  2   a plan, a configuration, an argument, a repository we cannot use
|- LedgerError                   1   the ledger does not verify, or cannot be written
|- RunBusy                       1   another process holds the run
|- GitError                      1   git refused
`- Interrupted                 130   the user stopped us
"""


class BranchlineError(Exception):
    """What happened and where, in one sentence; `hint` is what to do next, best a command to type."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class InvalidInput(BranchlineError):
    """Something given to us cannot be used as it is; nothing was changed."""

    exit_code = 2


class LedgerError(BranchlineError):
    """The ledger does not verify, or a record could not be made durable."""


class RunBusy(BranchlineError):
    """Another live process holds the run's lease."""


class GitError(BranchlineError):
    """git failed in a way that we do not handle; the message carries its own words."""


class Interrupted(BranchlineError):
    """The user interrupted the command; the run can be resumed."""

    exit_code = 130


FAILURES = (BranchlineError, OSError, RuntimeError, MemoryError)
"""What may fail for want of room, of a process or of a thread, wherever it is."""
