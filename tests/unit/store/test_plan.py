"""What an index run finds to do: the library against the folder, for every way in which files change."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_shelf import DIM, SPEC, Shelf, as_file, fingerprint

from vidsearch.errors import VideoError
from vidsearch.records import VectorExtractor, VideoFile, WindowSpec
from vidsearch.store.plan import Fingerprint, IndexPlan, PlanRequest


def test_a_first_run_indexes_everything_newest_first_and_reads_nothing(shelf: Shelf) -> None:
    old = shelf.write("old.mp4", "old", mtime_s=1000)
    new = shelf.write("new.mp4", "new", mtime_s=3000)
    middle = shelf.write("deep/middle.mp4", "middle", mtime_s=2000)
    plan = shelf.plan()
    assert [file.path for file in plan.to_index] == [new, middle, old]
    assert shelf.read == []


def test_an_unchanged_folder_costs_no_reading(shelf: Shelf) -> None:
    shelf.write("a.mp4", "a")
    shelf.write("b.mp4", "b")
    shelf.index()
    shelf.read.clear()
    plan = shelf.plan()
    assert plan.to_index == ()
    assert len(plan.unchanged) == 2
    assert shelf.read == []


def test_another_time_with_the_same_content_keeps_the_vectors(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.index()
    os.utime(path, (1_800_000_000, 1_800_000_000))
    plan = shelf.index()
    assert [file.path for file in plan.refingerprinted] == [path]
    assert plan.to_index == ()
    shelf.read.clear()
    assert len(shelf.plan().unchanged) == 1  # the new time was noted
    assert shelf.read == []


def test_changed_content_is_indexed_again(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "one", mtime_s=1000)
    shelf.index()
    before = shelf.library.search(np.ones(DIM), model="nano", limit=3)
    shelf.write("a.mp4", "two", mtime_s=2000)
    assert [file.path for file in shelf.index().to_index] == [path]
    after = shelf.library.search(np.ones(DIM), model="nano", limit=3)
    assert [hit.path for hit in after] == [path] * 3
    assert {hit.score for hit in after}.isdisjoint({hit.score for hit in before})


def test_a_deleted_file_leaves(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.write("b.mp4", "b")
    shelf.index()
    path.unlink()
    assert shelf.index().gone == (path,)
    assert shelf.names() == ["b.mp4"]


def test_the_last_file_of_a_folder_can_be_deleted(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.index()
    path.unlink()
    plan = shelf.index()
    assert (plan.gone, plan.offline) == ((path,), False)
    assert shelf.names() == []


def test_a_moved_file_keeps_its_vectors(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.index()
    before = shelf.library.search(np.ones(DIM), model="nano", limit=1)
    target = shelf.root / "deep" / "z.mp4"
    target.parent.mkdir()
    path.rename(target)
    plan = shelf.index()
    assert [(move.old, move.new.path) for move in plan.moved] == [(path, target)]
    assert (plan.to_index, plan.gone) == ((), ())
    after = shelf.library.search(np.ones(DIM), model="nano", limit=1)
    assert [(hit.path, hit.score) for hit in after] == [(target, before[0].score)]


def test_two_files_that_changed_places_keep_their_vectors(shelf: Shelf) -> None:
    one, two = shelf.write("one.mp4", "111", mtime_s=1000), shelf.write("two.mp4", "222", mtime_s=2000)
    shelf.index()
    before = {hit.path: hit.score for hit in shelf.library.search(np.ones(DIM), model="nano", limit=6)}
    one.rename(shelf.root / "x")
    two.rename(one)
    (shelf.root / "x").rename(two)
    plan = shelf.index()
    assert {(move.old, move.new.path) for move in plan.moved} == {(one, two), (two, one)}
    after = {hit.path: hit.score for hit in shelf.library.search(np.ones(DIM), model="nano", limit=6)}
    assert after == {one: before[two], two: before[one]}


def test_a_file_that_replaced_another_takes_its_own_vectors_along(shelf: Shelf) -> None:
    kept, lost = shelf.write("kept.mp4", "kept", mtime_s=1000), shelf.write("lost.mp4", "lost", mtime_s=2000)
    shelf.index()
    kept.rename(lost)
    plan = shelf.index()
    assert [(move.old, move.new.path) for move in plan.moved] == [(kept, lost)]
    assert plan.to_index == ()
    assert shelf.paths() == [lost]


def test_a_file_may_move_between_roots(shelf: Shelf, tmp_path: Path) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.index()
    other = tmp_path / "other"
    other.mkdir()
    path.rename(other / "a.mp4")
    plan = shelf.index(other)
    assert [move.old for move in plan.moved] == [path]
    assert shelf.paths() == [other / "a.mp4"]


def test_a_renamed_root_keeps_its_vectors(shelf: Shelf, tmp_path: Path) -> None:
    shelf.write("a.mp4", "a")
    shelf.index()
    shelf.root.rename(tmp_path / "films")
    plan = shelf.index(tmp_path / "films")
    assert len(plan.moved) == 1
    assert shelf.library.roots() == [tmp_path / "films"]
    assert shelf.paths() == [tmp_path / "films" / "a.mp4"]


def test_a_root_stays_while_any_of_its_videos_is_missing(shelf: Shelf, tmp_path: Path) -> None:
    shelf.write("a.mp4", "a")
    shelf.write("b.mp4", "bb")
    shelf.index()
    shelf.root.rename(tmp_path / "films")
    (tmp_path / "films" / "b.mp4").rename(tmp_path / "b.mp4")
    shelf.index(tmp_path / "films")
    assert set(shelf.library.roots()) == {shelf.root, tmp_path / "films"}


@pytest.mark.parametrize("link", [True, False], ids=["hard link", "copy"])
def test_a_second_file_with_the_same_content_is_not_decoded(shelf: Shelf, link: bool) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.index()
    twin = shelf.root / "twin.mp4"
    if link:
        os.link(path, twin)
    else:
        twin.write_bytes(path.read_bytes())
    plan = shelf.index()
    assert [(copy.source, copy.file.path) for copy in plan.copied] == [(path, twin)]
    assert plan.to_index == ()
    hits = shelf.library.search(np.ones(DIM), model="nano", limit=2)
    assert [hit.path for hit in hits] == [path, twin]
    assert hits[0].score == hits[1].score
    path.unlink()  # each of the two has rows of its own
    shelf.index()
    assert shelf.paths() == [twin]
    assert shelf.library.check() == []


# -- fingerprints of an earlier version: the beginning of those of today --------------------------------------------


def indexed_by_an_earlier_version(shelf: Shelf, name: str, content: str) -> Path:
    """`content` is what was fingerprinted then: the part before the dash."""
    path = shelf.write(name, content)
    earlier = replace(shelf.indexed(path), fingerprint=by_beginning(path).partition("-")[0])
    shelf.library.record_indexed(earlier)
    return path


def by_beginning(path: Path) -> str:
    """ENDS-MIDDLE, as the real one: here of what stands before and after the first `|`."""
    beginning, _, rest = path.read_text().partition("|")
    return f"{beginning}-{rest}"


def plan_by_beginning(shelf: Shelf, *paths: Path, fingerprint: Fingerprint = by_beginning) -> IndexPlan:
    wanted = frozenset({VectorExtractor("nano", SPEC)})
    return shelf.library.plan(PlanRequest(shelf.root, [as_file(path) for path in paths], wanted, fingerprint))


def test_an_earlier_fingerprint_is_recognised_and_renewed_when_the_file_is_read(shelf: Shelf) -> None:
    path = indexed_by_an_earlier_version(shelf, "a.mp4", "head|middle 1")
    assert plan_by_beginning(shelf, path).unchanged == (as_file(path),)
    os.utime(path, (2000, 2000))
    plan = plan_by_beginning(shelf, path)
    assert plan.refingerprinted == (as_file(path),)
    shelf.library.apply(plan)
    shelf.write("a.mp4", "head|middle 2", mtime_s=3000)  # now the middle counts
    assert plan_by_beginning(shelf, path).to_index == (as_file(path),)


def test_a_file_that_an_earlier_version_indexed_moves_with_its_vectors(shelf: Shelf) -> None:
    path = indexed_by_an_earlier_version(shelf, "a.mp4", "head|middle")
    moved = path.rename(shelf.root / "b.mp4")
    plan = plan_by_beginning(shelf, moved)
    assert [(move.old, move.new.path) for move in plan.moved] == [(path, moved)]
    shelf.library.apply(plan)
    assert plan_by_beginning(shelf, moved).unchanged == (as_file(moved),)


def test_a_second_file_of_a_content_that_has_moved_is_its_copy(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.index()
    path.unlink()
    moved, copy = shelf.write("b.mp4", "a"), shelf.write("c.mp4", "a")
    plan = shelf.plan()
    assert plan.to_index == ()
    assert [(move.old, move.new.path) for move in plan.moved] == [(path, moved)]
    assert [(made.source, made.file.path) for made in plan.copied] == [(moved, copy)]
    shelf.library.apply(plan)
    assert shelf.paths() == [moved, copy]
    assert shelf.library.check() == []


def test_another_file_is_a_copy_only_if_the_first_one_has_the_same_middle(shelf: Shelf) -> None:
    path = indexed_by_an_earlier_version(shelf, "a.mp4", "head|middle 1")
    other, copy = shelf.write("b.mp4", "head|middle 2"), shelf.write("c.mp4", "head|middle 1")
    plan = plan_by_beginning(shelf, path, other, copy)
    assert ([file.path for file in plan.to_index], [made.file.path for made in plan.copied]) == ([other], [copy])
    shelf.library.apply(plan)
    assert shelf.paths() == [path, copy]


def test_a_model_that_comes_later_does_not_cost_the_vectors_of_an_earlier_version(shelf: Shelf) -> None:
    path = indexed_by_an_earlier_version(shelf, "a.mp4", "head|middle")
    shelf.library.record_indexed(replace(shelf.indexed(path, model="small"), fingerprint=by_beginning(path)))
    assert [row.model for row in shelf.library.videos()] == ["nano", "small"]


def test_other_windows_and_other_models_are_work_to_do(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.index()
    assert [file.path for file in shelf.plan(spec=WindowSpec(4.0, 2.0, 8)).to_index] == [path]
    assert [file.path for file in shelf.plan(model="small").to_index] == [path]
    shelf.index(model="small")
    assert len(shelf.plan(model="small").unchanged) == 1
    assert len(shelf.plan(model="nano").unchanged) == 1


def test_a_file_moved_before_it_was_seen_by_a_model_is_moved_and_indexed(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.index()
    path.rename(shelf.root / "b.mp4")
    plan = shelf.index(model="small")
    assert [move.old for move in plan.moved] == [path]
    assert [file.path.name for file in plan.to_index] == ["b.mp4"]
    assert [(row.path.name, row.model) for row in shelf.library.videos()] == [("b.mp4", "nano"), ("b.mp4", "small")]


def test_failed_files_wait_until_they_change_or_are_asked_for(shelf: Shelf) -> None:
    path = shelf.write("bad.mp4", "bad", mtime_s=1000)
    shelf.library.record_failed(as_file(path), VideoError("corrupt", "it is broken"), fingerprint=fingerprint(path))
    assert [file.path for file in shelf.plan().failed_before] == [path]
    assert shelf.plan().to_index == ()
    assert [file.path for file in shelf.plan(retry_failed=True).to_index] == [path]
    os.utime(path, (2000, 2000))
    assert [file.path for file in shelf.plan().to_index] == [path]


@pytest.mark.parametrize("kind", ["vanished", "changing"])
def test_a_file_that_was_only_busy_is_tried_again(shelf: Shelf, kind: str) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.library.record_failed(as_file(path), VideoError(kind, "later"), fingerprint=None)  # type: ignore[arg-type]
    assert [file.path for file in shelf.plan().to_index] == [path]


def test_a_failed_file_that_moved_stays_failed(shelf: Shelf) -> None:
    path = shelf.write("bad.mp4", "bad")
    shelf.library.record_failed(as_file(path), VideoError("corrupt", "it is broken"), fingerprint=fingerprint(path))
    path.rename(shelf.root / "worse.mp4")
    plan = shelf.index()
    assert [file.path.name for file in plan.failed_before] == ["worse.mp4"]
    row = shelf.library.videos()[0]
    assert (row.path.name, row.state, row.error_kind, row.error) == ("worse.mp4", "failed", "corrupt", "it is broken")


def test_a_file_whose_fingerprint_cannot_be_taken_is_left_to_the_indexing(shelf: Shelf) -> None:
    shelf.write("a.mp4", "a")
    shelf.index()
    same_size = shelf.write("b.mp4", "b")

    def refuse(path: Path) -> str:
        raise VideoError("unreadable", f"{path} cannot be read")

    plan = shelf.library.plan(
        PlanRequest(shelf.root, shelf.walk(), frozenset({VectorExtractor("nano", WindowSpec())}), refuse)
    )
    assert [file.path for file in plan.to_index] == [same_size]


def test_nothing_below_an_unreadable_folder_is_gone(shelf: Shelf) -> None:
    path = shelf.write("locked/a.mp4", "a")
    other = shelf.write("open/b.mp4", "b")
    shelf.index()
    path.unlink()
    other.unlink()
    plan = shelf.plan(unreadable=(shelf.root / "locked",))
    assert (plan.gone, plan.kept_offline) == ((other,), (path,))


def test_a_file_the_walk_leaves_out_is_not_deleted(shelf: Shelf) -> None:
    shelf.write("a.mp4", "a")
    path = shelf.write("b.mp4", "b")
    shelf.index()
    plan = shelf.plan(found=[file for file in shelf.walk() if file.path != path])
    assert plan.gone == ()


def test_a_name_taken_by_a_folder_counts_as_deleted(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.write("b.mp4", "b")
    shelf.index()
    path.unlink()
    path.mkdir()
    assert shelf.plan().gone == (path,)


def test_a_single_file_as_root_prunes_nothing_else(shelf: Shelf) -> None:
    one, two = shelf.write("one.mp4", "1"), shelf.write("two.mp4", "22")
    shelf.index(one)
    shelf.index(two)
    one.unlink()
    plan = shelf.index(two)
    assert (plan.gone, [file.path for file in plan.unchanged]) == ((), [two])
    assert shelf.library.roots() == [one, two]


def test_a_deleted_single_file_root_leaves_with_its_video(shelf: Shelf) -> None:
    one = shelf.write("one.mp4", "1")
    shelf.index(one)
    one.unlink()
    plan = shelf.plan(one, found=[])
    assert (plan.gone, plan.offline) == ((one,), False)
    shelf.library.apply(plan)
    assert shelf.library.roots() == []
    assert shelf.paths() == []


def test_nested_roots_share_their_videos(shelf: Shelf) -> None:
    inner = shelf.write("2020/a.mp4", "a")
    outer = shelf.write("b.mp4", "b")
    shelf.index(shelf.root / "2020")
    plan = shelf.index()
    assert [file.path for file in plan.to_index] == [outer]
    assert [file.path for file in plan.unchanged] == [inner]
    inner.unlink()
    assert shelf.plan(shelf.root / "2020", found=[]).gone == (inner,)


def test_a_plan_writes_nothing(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.index()
    path.unlink()
    shelf.write("b.mp4", "b")
    before = (shelf.home / "library.sqlite3").read_bytes()
    shelf.plan()
    assert shelf.paths() == [path]
    assert (shelf.home / "library.sqlite3").read_bytes() == before


def test_the_order_of_the_walk_does_not_matter(shelf: Shelf) -> None:
    for name in "abcdef":
        shelf.write(f"{name}.mp4", name)
    found: list[VideoFile] = shelf.walk()
    assert shelf.plan(found=found) == shelf.plan(found=found[::-1])
