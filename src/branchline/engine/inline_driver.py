"""One attempt at a time, each finished before the next begins: the local driver's twin for tests and debugging."""

from branchline.engine.driver import Done, Job, LocalDriver


class InlineDriver(LocalDriver):
    """The same time limits and results, in the order of starting."""

    def __init__(self) -> None:
        super().__init__()
        self._ended: list[Done] = []

    def start(self, job: Job) -> None:
        """Carry the job out."""
        super().start(job)
        while not (ended := super().wait(None)):
            pass
        self._ended += ended

    def wait(self, timeout: float | None) -> list[Done]:
        """The jobs carried out since the last call."""
        if not self._ended:
            return super().wait(timeout)
        ended, self._ended = self._ended, []
        return ended
