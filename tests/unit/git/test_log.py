from branchline.git.objects import changed_files, newest_commits, time_of
from branchline.git.repo import Repo
from unit.git.sandbox import Sandbox

UNKNOWN = "0" * 39 + "1"


def test_newest_commits_come_first_and_merges_not_at_all(box: Sandbox, repo: Repo) -> None:
    root = box.git("rev-parse", "HEAD").strip()
    side = box.branch_with({"s.txt": "s\n"})
    own = box.commit({"a.txt": "2\n"})
    box.git("merge", "-q", "--no-ff", "-m", "merge", side)
    head = repo.head_commit()
    found, whole = newest_commits(repo, head, 10)
    assert whole
    assert {commit for commit, _ in found} == {root, side, own}
    assert found[-1] == (root, time_of(repo, root))
    assert newest_commits(repo, head, 1)[0] in ([(side, time_of(repo, side))], [(own, time_of(repo, own))])


def test_changed_files_of_each_commit(box: Sandbox, repo: Repo) -> None:
    root = box.git("rev-parse", "HEAD").strip()
    moved = box.commit({"a.txt": None, "c/\n a.txt": "one\ntwo\nthree\n"})
    empty = box.commit({})
    edited = box.commit({"src/b.py": "b = 2\n", root: "a file called like a commit\n"})
    found, whole = changed_files(repo, [edited, empty, moved, root])
    assert whole
    assert found == {edited: sorted([root, "src/b.py"]), moved: ["a.txt", "c/\n a.txt"]}
    assert changed_files(repo, []) == ({}, True)


def test_what_is_missing_ends_them(repo: Repo) -> None:
    assert newest_commits(repo, UNKNOWN, 5) == ([], False)
    assert newest_commits(repo, "--all", 5) == ([], False)
    assert time_of(repo, UNKNOWN) == 0
    assert changed_files(repo, [UNKNOWN])[0] == {}
