"""Which files an agent is given: the context broker's answer, kept before the agent starts. It never fails a run."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from branchline.attempt.run import Run
from branchline.core.model.manifest import ContextRequest, Manifest
from branchline.core.work import Given
from branchline.errors import InvalidInput
from branchline.git.repo import Repo

if TYPE_CHECKING:
    from branchline.context.broker import Broker

FOLDER = "manifests"
LONGEST_WARNING = 500  # characters
_TURN = threading.Lock()  # whoever comes first indexes what is new; the others find it done


@dataclass(frozen=True, slots=True)
class Chosen:
    """A manifest, and the digest by which it is kept in the run's `artifacts/manifests`."""

    manifest: Manifest
    digest: str

    @property
    def given(self) -> Given:
        """What is told of it."""
        whole = self.manifest
        warning = "; ".join(whole.warnings)[:LONGEST_WARNING]
        return Given(manifest=self.digest, files=whole.total_files, tokens=whole.total_tokens, warning=warning)


def choose(run: Run, request: ContextRequest, commit: str, tree: str) -> Chosen:
    """Ask the broker about a tree that grew from `commit`, and keep its answer. Raises InvalidInput as `asking` does."""
    from branchline.context.manifest import store

    manifest = asking(run.repo, commit, tree)(request)
    return Chosen(manifest, store(run.paths.artifacts / FOLDER, manifest))


def asking(repo: Repo, commit: str, tree: str) -> Callable[[ContextRequest], Manifest]:
    """What answers requests about a tree, for one thread. If something ails the broker: by a manifest without files.

    The answer raises InvalidInput where the settings ask for what there is not: whoever wrote them should know.
    """
    opened: list[Broker] = []

    def answer(request: ContextRequest) -> Manifest:
        try:
            from branchline.context.broker import of_tree

            with _TURN:
                opened.extend(() if opened else [of_tree(repo, commit, tree, settings=request.settings)])
                return opened[0].manifest(request)
        except InvalidInput:
            raise
        except Exception as error:  # noqa: BLE001 - whatever ails the index, an agent can look for its files by itself
            return without(request, tree, f"no files could be chosen: {type(error).__name__}: {error}")

    return answer


def without(request: ContextRequest, tree: str, why: str) -> Manifest:
    """A manifest without files."""
    from branchline.context.manifest import fingerprint, params

    return Manifest(
        tree=tree,
        selection_params=params(request),
        config_fingerprint=fingerprint(request.settings),
        tokens_by="estimate",
        total_files=0,
        total_tokens=0,
        truncated=False,
        warnings=(why,),
    )
