"""Merging without a checkout."""

import os
from fnmatch import fnmatchcase

import pytest

from branchline.errors import GitError
from branchline.git.landing.merge import Conflicted, Merged, Strategy, forecast, merge_trees
from branchline.git.objects import Entry
from branchline.git.repo import Repo
from unit.git.sandbox import Sandbox


def merge(repo: Repo, ours: str, theirs: str, *strategies: tuple[str, Strategy]) -> Merged | Conflicted:
    return merge_trees(
        repo, ours, theirs, lambda path: next((name for glob, name in strategies if fnmatchcase(path, glob)), None)
    )


def content(repo: Repo, tree: str, path: str) -> bytes:
    return repo.read_blob(next(entry.oid for entry in repo.entries(tree) if entry.path == path))


def test_a_clean_merge_holds_both_changes(box: Sandbox, repo: Repo) -> None:
    ours, theirs = box.branch_with({"a.txt": "ONE\ntwo\nthree\n"}), box.branch_with({"a.txt": "one\ntwo\nTHREE\n"})
    merged = merge(repo, ours, theirs)
    assert isinstance(merged, Merged)
    assert merged.resolved == ()
    assert content(repo, merged.tree, "a.txt") == b"ONE\ntwo\nTHREE\n"


@pytest.mark.parametrize(
    ("ours", "theirs", "paths"),
    [
        ({"a.txt": "x\n"}, {"a.txt": "y\n"}, ("a.txt",)),
        ({"a.txt": None}, {"a.txt": "one\ntwo\n3\n"}, ("a.txt",)),
        ({"new": "x\n"}, {"new": "y\n"}, ("new",)),
        ({"a.txt": b"\0x"}, {"a.txt": b"\0y"}, ("a.txt",)),
        ({"q\n\"'\udcff": "x\n"}, {"q\n\"'\udcff": "y\n"}, ("q\n\"'\udcff",)),
    ],
    ids=["content", "modify-delete", "add-add", "binary", "hostile-name"],
)
def test_every_kind_of_conflict_is_reported_by_path(
    box: Sandbox, repo: Repo, ours: dict[str, str | None], theirs: dict[str, str | None], paths: tuple[str, ...]
) -> None:
    merged = merge(repo, box.branch_with(ours), box.branch_with(theirs))
    assert isinstance(merged, Conflicted)
    assert merged.paths == paths


def test_a_folder_in_the_way_of_a_file_is_a_conflict(box: Sandbox, repo: Repo) -> None:
    merged = merge(repo, box.branch_with({"x": "file\n"}), box.branch_with({"x/y": "folder\n"}), ("*", "union"))
    assert isinstance(merged, Conflicted)
    assert any(path.startswith("x") for path in merged.paths)


def test_rename_against_rename_is_a_conflict_that_no_strategy_settles(box: Sandbox, repo: Repo) -> None:
    text = "one\ntwo\nthree\n"
    ours, theirs = box.branch_with({"a.txt": None, "p": text}), box.branch_with({"a.txt": None, "q": text})
    merged = merge(repo, ours, theirs, ("*", "union"))
    assert isinstance(merged, Conflicted)
    assert set(merged.paths) >= {"p", "q"}


def test_union_keeps_the_lines_of_both(box: Sandbox, repo: Repo) -> None:
    ours, theirs = box.branch_with({"a.txt": "one\nx\n"}), box.branch_with({"a.txt": "one\ny\n"})
    merged = merge(repo, ours, theirs, ("*.txt", "union"))
    assert isinstance(merged, Merged)
    assert merged.resolved == ("a.txt",)
    assert content(repo, merged.tree, "a.txt") == b"one\nx\ny\n"


def test_union_never_settles_a_deletion_a_binary_file_or_a_link(box: Sandbox, repo: Repo) -> None:
    box.git("checkout", "-q", "--detach")
    (box.root / "link").unlink()
    (box.root / "link").symlink_to("ours")
    ours = box.commit({"a.txt": None, "src/b.py": b"\0 ours"})
    (box.root / "link").unlink()
    box.git("checkout", "-q", "-f", "main")
    box.git("checkout", "-q", "--detach")
    (box.root / "link").unlink()
    (box.root / "link").symlink_to("theirs")
    theirs = box.commit({"a.txt": "y\n", "src/b.py": b"\0 theirs"})
    merged = merge(repo, ours, theirs, ("*", "union"))
    assert isinstance(merged, Conflicted)
    assert merged.paths == ("a.txt", "link", "src/b.py")


def test_the_first_matching_strategy_counts_and_the_rest_stays_in_conflict(box: Sandbox, repo: Repo) -> None:
    ours = box.branch_with({"v.json": '{\n  "b": 1\n}\n', "src/b.py": "b = 2\n"})
    theirs = box.branch_with({"v.json": '{\n  "c": 2\n}\n', "src/b.py": "b = 3\n"})
    merged = merge(repo, ours, theirs, ("*.json", "json"), ("*.json", "union"))
    assert isinstance(merged, Conflicted)
    assert merged.paths == ("src/b.py",)
    assert content(repo, merged.tree, "v.json") == b'{\n  "b": 1,\n  "c": 2\n}\n'
    assert b"<<<<<<<" in content(repo, merged.tree, "src/b.py")


def test_json_that_clashes_stays_in_conflict(box: Sandbox, repo: Repo) -> None:
    ours, theirs = box.branch_with({"v.json": '{"b": 1}'}), box.branch_with({"v.json": '{"b": 2}'})
    assert merge(repo, ours, theirs, ("*", "json")).paths == ("v.json",)  # type: ignore[union-attr]


def test_an_executable_stays_one(box: Sandbox, repo: Repo) -> None:
    (box.root / "a.txt").chmod(0o755)
    box.commit({})
    ours, theirs = box.branch_with({"a.txt": "x\n"}), box.branch_with({"a.txt": "y\n"})
    merged = merge(repo, ours, theirs, ("*", "union"))
    assert [entry.mode for entry in repo.entries(merged.tree) if entry.path == "a.txt"] == ["100755"]


def test_attributes_and_settings_of_the_repository_have_no_say(box: Sandbox, repo: Repo) -> None:
    box.commit({".gitattributes": "* merge=union\n"})
    box.git("config", "merge.renames", "false")
    ours, theirs = box.branch_with({"a.txt": "x\n"}), box.branch_with({"a.txt": "y\n"})
    assert isinstance(merge(repo, ours, theirs), Conflicted)


def test_commits_with_no_common_ancestor_are_an_error(box: Sandbox, repo: Repo) -> None:
    head = repo.head_commit()
    stranger = repo.commit(repo.tree_of(head), [], "stranger", 0)
    with pytest.raises(GitError, match="cannot merge"):
        merge(repo, head, stranger)


def test_the_forecast_names_each_pair_that_conflicts(box: Sandbox, repo: Repo) -> None:
    commits = {
        "a": box.branch_with({"a.txt": "x\n"}),
        "b": box.branch_with({"a.txt": "y\n", "n": "n\n"}),
        "c": box.branch_with({"n/deep": "n\n"}),
        "d": box.branch_with({"other": "o\n"}),
    }
    pairs = [(one, other) for one, other, _ in forecast(repo, commits, lambda a, b: merge(repo, a, b))]
    assert pairs == [("a", "b"), ("b", "c")]
    union = forecast(repo, commits, lambda a, b: merge(repo, a, b, ("*", "union")))
    assert [(one, other) for one, other, _ in union] == [("b", "c")]
    assert forecast(repo, {"a": commits["a"]}, lambda a, b: merge(repo, a, b)) == []


ODD = 'q [x]*? "\\#!\udcff\n'


def declared(box: Sandbox, lines: str) -> str:
    """The repository's main with these `.gitattributes`, a nested one, and files that they speak of."""
    text = "one\ntwo\nthree\nfour\nfive\n"
    nested = {"sub/.gitattributes": "*.lock merge=union\n", "sub/x.lock": text}
    return box.commit({".gitattributes": lines, "C.md": text, "x.lock": text, "o.txt": text, ODD: text, **nested})


def test_union_in_the_attributes_keeps_the_lines_of_both(box: Sandbox, repo: Repo) -> None:
    base = declared(box, "C.md merge=union\nq* merge=union\n")
    ours, theirs = (dict.fromkeys(("C.md", ODD), f"top\nof {who}\n") for who in ("a", "b"))
    sides = box.branch_with(ours), box.branch_with(theirs)
    assert isinstance(merge_trees(repo, *sides, lambda _: None), Conflicted)
    merged = merge_trees(repo, *sides, lambda _: None, declared=base)
    assert isinstance(merged, Merged)
    assert content(repo, merged.tree, "C.md") == content(repo, merged.tree, ODD) == b"top\nof a\nof b\n"
    left = merge_trees(repo, *sides, lambda _: None, declared=base, union=False)
    assert isinstance(left, Conflicted)
    assert set(left.paths) == {"C.md", ODD}


def test_what_the_attributes_keep_from_being_merged_by_lines_conflicts(box: Sandbox, repo: Repo) -> None:
    """Though its lines would merge; where a strategy is declared for it, that settles it."""
    base = declared(box, "[attr]mine -merge\n*.lock mine\nC.md binary\no.txt merge=binary\n")
    top, end = "ONE\ntwo\nthree\nfour\nfive\n", "one\ntwo\nthree\nfour\nFIVE\n"
    names = ("C.md", "x.lock", "o.txt", "sub/x.lock")
    ours, theirs = box.branch_with(dict.fromkeys(names, top)), box.branch_with(dict.fromkeys(names, end))
    assert isinstance(merge_trees(repo, ours, theirs, lambda _: None), Merged)
    for union in (True, False):
        left = merge_trees(repo, ours, theirs, lambda _: None, declared=base, union=union)
        assert isinstance(left, Conflicted)
        assert left.paths == ("C.md", "o.txt", "x.lock"), "the nested one says union"
    settled = merge_trees(repo, ours, theirs, lambda _: "union", declared=base)
    assert isinstance(settled, Merged)
    one_side = merge_trees(repo, ours, base, lambda _: None, declared=base)
    assert isinstance(one_side, Merged)
    assert content(repo, one_side.tree, "x.lock") == top.encode()


def test_a_file_that_one_side_renamed_is_merged_as_its_new_name_says(box: Sandbox, repo: Repo) -> None:
    base = declared(box, "new.lock -merge\n")
    text = "ONE\ntwo\nthree\nfour\nfive\n"
    ours = box.branch_with({"o.txt": None, "new.lock": "one\ntwo\nthree\nfour\nFIVE\n"})
    theirs = box.branch_with({"o.txt": text})
    assert isinstance(merge_trees(repo, ours, theirs, lambda _: None), Merged)
    assert isinstance(merge_trees(repo, ours, theirs, lambda _: None, declared=base), Conflicted)


def test_attributes_of_the_repository_count_and_those_of_a_batch_do_not(box: Sandbox, repo: Repo) -> None:
    base = declared(box, "")
    ours, theirs = (
        box.branch_with({".gitattributes": "* merge=union\n", "C.md": f"{who}\n", "x.lock": f"{who}\n"})
        for who in ("a", "b")
    )
    (box.root / ".git" / "info" / "attributes").write_text("C.md merge=union\n")
    left = merge_trees(Repo.open(box.root), ours, theirs, lambda _: None, declared=base)
    assert isinstance(left, Conflicted)
    assert left.paths == ("x.lock",)


def test_a_driver_that_is_not_gits_own_is_told_where_it_would_have_worked(box: Sandbox, repo: Repo) -> None:
    base = declared(box, "*.lock merge=ours\nC.md merge=mine\n")
    ours = box.branch_with({"x.lock": "ONE\ntwo\nthree\nfour\nfive\n", "C.md": "mine\n"})
    theirs = box.branch_with({"x.lock": "one\ntwo\nthree\nfour\nFIVE\n"})
    merged = merge_trees(repo, ours, theirs, lambda _: None, declared=base)
    assert isinstance(merged, Merged)
    assert merged.strange == (("x.lock", "ours"),)
    assert content(repo, merged.tree, "x.lock") == b"ONE\ntwo\nthree\nfour\nFIVE\n"


def test_only_what_changed_since_a_named_base_is_taken_over(box: Sandbox, repo: Repo) -> None:
    """Though the histories have another common ancestor, or none."""
    oops = box.branch_with({"oops.csv": "secret\n", "a.txt": "one\ntwo\nTHREE\n"})
    batch = box.branch_with({"new.txt": "n\n"}, start=oops)
    strange = repo.commit(repo.tree_of(box.git("rev-parse", "main").strip()), [], "no parents", 1)
    for tip in (box.git("rev-parse", "main").strip(), strange):
        merged = merge_trees(repo, tip, batch, lambda _: None, base=oops)
        assert isinstance(merged, Merged)
        assert {entry.path for entry in repo.entries(merged.tree)} == {"a.txt", "link", "new.txt", "src/b.py"}
        assert content(repo, merged.tree, "a.txt") == b"one\ntwo\nthree\n"
    touching = box.branch_with({"oops.csv": "secret\nmore\n"}, start=oops)
    left = merge_trees(repo, strange, touching, lambda _: None, base=oops)
    assert isinstance(left, Conflicted)
    assert left.paths == ("oops.csv",)


def test_entries_decode_any_name(box: Sandbox, repo: Repo) -> None:
    name = os.fsdecode(b"\xff\n\"'\t")
    commit = box.branch_with({name: "x"})
    assert Entry("100644", "blob", repo.write_blob(b"x"), name) in repo.entries(repo.tree_of(commit))
