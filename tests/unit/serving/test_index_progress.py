"""How far a run of indexing is, from the lines of its process."""

from __future__ import annotations

from vidsearch.serving.indexing import Progress


def test_a_video_with_more_windows_than_expected_is_never_more_than_done() -> None:
    """Where windows follow cuts, their number is a guess until the end."""
    progress = Progress()
    progress.add({"kind": "video", "path": "/v/film.mp4", "windows": 2})
    for done, of in ((1, 2), (2, 2), (3, 3)):
        progress.add({"kind": "window", "path": "/v/film.mp4"})
        assert progress.current == {"/v/film.mp4": {"done": done, "windows": of}}
    progress.add({"kind": "window", "path": "/v/other.mp4"})
    assert list(progress.current) == ["/v/film.mp4"]
