"""`verify` notices each change of what it claims to cover, and names the rest (attack 15)."""

import io
import json
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from attacks.tampering import Finished, Tampering, said_of
from branchline.cli.boundary import guarded
from support import Project, gate, sh, workstream, write

SAMPLE = 9  # one in so many, and all of what is rare


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run of which `a` shipped and `b` was rejected."""
    project = Project.make(tmp_path_factory.mktemp("finished") / "p")
    streams = [workstream("a", write("a/a.txt", "a\n"), sh("echo said")), workstream("b", write("b.txt", "b\n"))]
    settings = {"gates": [gate("no-b", "! test -e b.txt")], "repair": {"rounds": 0}, "ship": {"mode": "merge"}}
    ran = project.run({"goal": "g", "workstreams": streams}, settings)
    assert ran.code == 5, ran.err
    return Finished(project, ran.json["run_id"])


def verify(finished: Finished) -> tuple[int, dict[str, Any]]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = guarded(["verify", finished.run, "--repo", str(finished.project.root), "--json"])
    found: dict[str, Any] = json.loads(out.getvalue())
    return code, {"differences": [], "fault": None, "not_covered": [], **found}


def judged(finished: Finished, wanted: list[Tampering]) -> Counter[str]:
    """What became of each tampering; those that nobody is told of are the test's failure."""
    assert verify(finished)[0] == 0
    ends, silent = Counter[str](), []
    for one in wanted:
        with finished.done(one):
            code, verdict = verify(finished)
        end = said_of(one, verdict, code)
        ends[end] += 1
        # Git itself, asked for HEAD, dies at an object that is no longer what its name says.
        error = str(verdict.get("error", ""))
        if not end or (error and not (one.kind == "object" and one.place in error)):
            silent.append(f"{one} ({error})")
    assert not silent, "\n".join(silent)
    assert verify(finished)[0] == 0, "everything was put back"
    return ends


def test_a_sample_of_all_tamperings_is_noticed_or_named(finished: Finished) -> None:
    every = finished.all()
    seldom = [one for one in every if one.kind == "records" or one.how == "add"]
    ends = judged(finished, [*every[::SAMPLE], *seldom])
    assert ends["noticed"] > 10 * ends["not covered"]


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_every_tampering_is_noticed_or_named(finished: Finished) -> None:
    ends = judged(finished, finished.all())
    print(dict(ends))
