"""Videos by number: what a surface shows of them."""

from __future__ import annotations

import os

from store_shelf import FACTS, Shelf

from vidsearch.errors import VideoError


def test_a_number_names_a_video_until_it_leaves(shelf: Shelf) -> None:
    path = shelf.write(os.fsdecode(b"not \xff utf-8.mp4"), "one")
    shelf.index()
    [entry] = shelf.library.videos_at([path, shelf.root / "unknown.mp4"]).values()
    assert shelf.library.video(entry.number) == entry
    assert (entry.path, entry.state, entry.width_px, entry.codec) == (path, "indexed", FACTS.width_px, FACTS.codec)
    assert entry.size_bytes == path.stat().st_size and entry.mtime_ns == path.stat().st_mtime_ns
    moved = path.rename(shelf.root / "moved.mp4")
    shelf.index()
    after = shelf.library.video(entry.number)
    assert after is not None and after.path == moved
    moved.unlink()
    shelf.index()
    assert shelf.library.video(entry.number) is None


def test_the_newest_come_first_a_page_at_a_time(shelf: Shelf) -> None:
    for number, name in enumerate(("old.mp4", "new.mp4", "middle.mp4")):
        path = shelf.write(name, name)
        os.utime(path, ns=(0, [1, 3, 2][number] * 10**9))
    shelf.index()
    failed = shelf.write("failed.mp4", "x")
    file = next(file for file in shelf.plan().to_index if file.path == failed)
    shelf.library.record_failed(file, VideoError("corrupt", "It is damaged."), fingerprint=None)
    total, page = shelf.library.newest_videos(2, 1, failed=False)
    assert (total, [entry.path.name for entry in page]) == (3, ["middle.mp4", "old.mp4"])
    total, page = shelf.library.newest_videos(10, failed=True)
    assert (total, [(entry.state, entry.error_kind, entry.duration_s) for entry in page]) == (
        1,
        [("failed", "corrupt", None)],
    )
    assert shelf.library.newest_videos(0)[0] == 4
