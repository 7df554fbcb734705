"""The walk: what is a video by its name, what is skipped, and what must not stop it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from vidsearch.errors import VidsearchError
from vidsearch.records import VideoFile
from vidsearch.video.discover import FoundProblem, LeftOut, find_videos


def put(root: Path, *names: str, content: bytes = b"x") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def found(root: Path, *, exclude: tuple[str, ...] = (), include_hidden: bool = False) -> list[str]:
    """Paths below `root`; problems as `kind path`."""
    return [
        f"{each.kind} {each.path.relative_to(root)}"
        if isinstance(each, FoundProblem)
        else str(each.path.relative_to(root))
        for each in find_videos(root, exclude=exclude, include_hidden=include_hidden)
        if not isinstance(each, LeftOut)
    ]


def test_videos_by_their_suffix_in_any_case_in_order(tmp_path: Path) -> None:
    put(tmp_path, "b.MP4", "a.mkv", "notes.txt", "sub/c.WebM", "photo.jpg", "song.mp3", "clip.mp4.part")
    assert found(tmp_path) == ["a.mkv", "b.MP4", "sub/c.WebM"]


def test_size_and_time_are_those_of_the_file(tmp_path: Path) -> None:
    put(tmp_path, "a.mp4", content=b"12345")
    os.utime(tmp_path / "a.mp4", ns=(1, 1_700_000_000_123_456_789))
    assert list(find_videos(tmp_path)) == [VideoFile(tmp_path / "a.mp4", 5, 1_700_000_000_123_456_789)]


def test_hidden_and_companion_files(tmp_path: Path) -> None:
    put(tmp_path, ".hidden.mp4", "._clip.mp4", ".cache/x.mp4", "seen.mp4")
    assert found(tmp_path) == ["seen.mp4"]
    assert found(tmp_path, include_hidden=True) == [".hidden.mp4", "seen.mp4", ".cache/x.mp4"]


def test_folders_that_hold_no_videos_of_the_user(tmp_path: Path) -> None:
    put(tmp_path, "@eaDir/a.mp4", "node_modules/b/b.mp4", "$RECYCLE.BIN/c.mp4", "System Volume Information/d.mp4")
    put(tmp_path, ".Trash-1000/e.mp4", ".git/f.mp4", "kept/g.mp4")
    assert found(tmp_path, include_hidden=True) == ["kept/g.mp4"]


def test_exclude_has_the_meaning_of_gitignore(tmp_path: Path) -> None:
    put(tmp_path, "raw/a.mp4", "raw/keep/b.mp4", "c.mp4", "c.mkv", "deep/raw/d.mp4")
    assert found(tmp_path, exclude=("/raw/",)) == ["c.mkv", "c.mp4", "deep/raw/d.mp4"]
    assert found(tmp_path, exclude=("raw/",)) == ["c.mkv", "c.mp4"]
    assert found(tmp_path, exclude=("*.mp4", "!c.mp4")) == ["c.mkv", "c.mp4"]


def test_ignore_files_speak_for_their_folder_and_the_inner_one_wins(tmp_path: Path) -> None:
    put(tmp_path, "a.mp4", "sub/a.mp4", "sub/b.mp4", "other/a.mp4")
    (tmp_path / ".vidsearchignore").write_text("# private\na.mp4\n")
    (tmp_path / "sub" / ".vidsearchignore").write_text("!a.mp4\nb.mp4\n")
    assert found(tmp_path) == ["sub/a.mp4"]


def test_symbolic_loops_end_and_each_real_file_comes_once(tmp_path: Path) -> None:
    put(tmp_path, "d/a.mp4")
    (tmp_path / "d" / "loop").symlink_to("../d")
    (tmp_path / "again").symlink_to("d")
    (tmp_path / "a_link.mp4").symlink_to("d/a.mp4")  # its name comes before the folder's: the file keeps its own path
    assert found(tmp_path) == ["d/a.mp4"]


def test_links_to_files_elsewhere_are_followed_once(tmp_path: Path) -> None:
    put(tmp_path, "elsewhere/a.mp4", "elsewhere/more/b.mp4")
    root = tmp_path / "root"
    root.mkdir()
    (root / "one.mp4").symlink_to("../elsewhere/a.mp4")
    (root / "two.mp4").symlink_to("../elsewhere/a.mp4")
    (root / "folder").symlink_to("../elsewhere/more")
    assert sorted(found(root)) == ["folder/b.mp4", "one.mp4"]


def test_links_that_lead_nowhere_are_reported(tmp_path: Path) -> None:
    (tmp_path / "self.mp4").symlink_to("self.mp4")
    (tmp_path / "gone.mp4").symlink_to("/nowhere/x.mp4")
    (tmp_path / "gone.txt").symlink_to("/nowhere/x.txt")
    assert found(tmp_path) == ["vanished gone.mp4", "unreadable self.mp4"]


def test_hard_links_are_files_of_their_own(tmp_path: Path) -> None:
    put(tmp_path, "a.mp4")
    (tmp_path / "b.mp4").hardlink_to(tmp_path / "a.mp4")
    assert found(tmp_path) == ["a.mp4", "b.mp4"]


@pytest.mark.timeout(20)  # opening a pipe waits for ever
def test_pipes_and_sockets_are_reported_and_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    os.mkfifo(tmp_path / "pipe.ts")
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.mp4")
        assert found(tmp_path) == ["not-a-file pipe.mp4", "not-a-file pipe.ts", "not-a-file socket.mp4"]


def test_a_pipe_as_root(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (problem,) = find_videos(tmp_path / "pipe.mp4")
    assert isinstance(problem, FoundProblem)
    assert problem.kind == "not-a-file"


def test_a_folder_named_like_a_video_is_walked(tmp_path: Path) -> None:
    put(tmp_path, "folder.mp4/inside.mp4")
    assert found(tmp_path) == ["folder.mp4/inside.mp4"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may read every folder")
def test_a_folder_that_may_not_be_read_is_reported(tmp_path: Path) -> None:
    put(tmp_path, "p/a.mp4", "q.mp4")
    (tmp_path / "p").chmod(0)
    try:
        assert sorted(found(tmp_path)) == ["q.mp4", "unreadable p"]
    finally:
        (tmp_path / "p").chmod(0o755)


def test_a_file_as_root_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    put(tmp_path, "video_without_suffix")
    assert [each.path.name for each in find_videos(tmp_path / "video_without_suffix")] == ["video_without_suffix"]


def test_a_root_that_is_not_there_is_a_mistake_of_the_call(tmp_path: Path) -> None:
    with pytest.raises(VidsearchError, match="is not there") as caught:
        list(find_videos(tmp_path / "nowhere"))
    assert caught.value.exit_code == 2


def test_odd_names_survive(tmp_path: Path) -> None:
    names = [b"two\nlines.mp4", b"caf\xe9.mp4", "é.mp4".encode(), "e\u0301.mp4".encode(), b"-dash.mp4", b"[red].mp4"]
    for name in names:
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_bytes(b"x")
    assert sorted(os.fsencode(each.path.name) for each in find_videos(tmp_path)) == sorted(names)


def test_typescript_is_quietly_no_video(tmp_path: Path) -> None:
    source = b"import { a } from './a';\nexport const G = (x: number): string => `${x}`;\n"
    put(tmp_path, "short.ts", content=source)
    put(tmp_path, "long.ts", "long.mts", content=source * 50)
    packet = b"\x47" + bytes(187)
    put(tmp_path, "plain.ts", content=packet * 20)
    put(tmp_path, "blu-ray.m2ts", "camera.mts", content=(b"\0\0\0\0" + packet) * 20)
    put(tmp_path, "cut.ts", content=(packet * 20)[100:])  # recordings may begin in the middle of a packet
    assert found(tmp_path) == ["blu-ray.m2ts", "camera.mts", "cut.ts", "plain.ts"]
