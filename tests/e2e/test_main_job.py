"""Index a folder, find moments by words, list, remove: real files, the bundled model; a process where it matters."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import CLIPS, SHARED, RunVidsearch, environment


def json_of(done: subprocess.CompletedProcess[bytes]) -> dict:
    return json.loads(done.stdout)


def test_every_clip_is_indexed_and_listed(clips_library: Path, command: RunVidsearch) -> None:
    videos = json_of(command("videos", "--json"))["videos"]
    assert {Path(video["path"]).name for video in videos} == {clip.name for clip in CLIPS.glob("*.mp4")}
    assert {video["state"] for video in videos} == {"indexed"}
    assert all(video["windows"] >= 1 and video["model"] == "mobileviclip-nano" for video in videos)


def test_most_known_queries_find_the_right_moment_first(clips_library: Path, command: RunVidsearch) -> None:
    answers = json.loads((CLIPS / "queries.json").read_text())
    right = 0
    for answer in answers:
        hit = json_of(command("query", answer["query"], "--json", "-k", "1"))["hits"][0]
        middle_s = (answer["start_s"] + answer["end_s"]) / 2
        right += Path(hit["path"]).name == answer["file"] and hit["start_s"] <= middle_s <= hit["end_s"]
    assert right >= len(answers) - 1


def test_a_second_run_does_nothing_and_loads_no_network(clips_library: Path, vidsearch: RunVidsearch) -> None:
    done = vidsearch("index", CLIPS, "--json", env={"PYTHONPROFILEIMPORTTIME": "1"})
    report = json_of(done)
    assert report["to_index"] == report["indexed"] == []
    assert report["unchanged"] == len(list(CLIPS.glob("*.mp4")))
    assert b"| torch\n" not in done.stderr


def test_a_cold_query_imports_neither_torch_nor_onnx_runtime(clips_library: Path, vidsearch: RunVidsearch) -> None:
    done = vidsearch("query", "a red square", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0
    imported = {line.rsplit(b"|", 1)[-1].strip() for line in done.stderr.splitlines() if b"|" in line}
    assert b"numpy" in imported
    assert not imported & {b"torch", b"onnxruntime", b"decord", b"av", b"hnswlib", b"rich", b"sqlite_utils"}


def test_ctrl_c_keeps_what_is_done_and_exits_130(tmp_path: Path, vidsearch: RunVidsearch) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for clip in sorted(CLIPS.glob("*.mp4"))[:8]:
        shutil.copy(clip, folder)
    run = subprocess.Popen(
        [sys.executable, "-m", "vidsearch", "index", str(folder)],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    database = Path(os.environ["VIDSEARCH_HOME"]) / "library.sqlite3"
    deadline = time.monotonic() + 60
    while not _indexed(database) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: the whole foreground group
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130, said.decode()
    assert b"Traceback" not in said
    assert _indexed(database)
    assert vidsearch("index", folder).returncode == 0
    assert len(json_of(vidsearch("videos", "--json"))["videos"]) == 8


def _indexed(database: Path) -> int:
    import sqlite3

    if not database.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT count(*) FROM videos").fetchone()[0]
    except sqlite3.OperationalError:  # the file is there, its tables are not yet
        return 0


def test_one_bad_file_does_not_stop_the_rest(tmp_path: Path, command: RunVidsearch) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy(CLIPS / "red-square-left.mp4", folder)
    (folder / "broken.mp4").write_bytes(b"<html>not found</html>")
    done = command("index", folder)
    assert done.returncode == 3
    assert b"broken.mp4" in done.stderr
    listed = {Path(v["path"]).name: v for v in json_of(command("videos", "--json"))["videos"]}
    assert listed["broken.mp4"]["state"] == "failed"
    assert listed["broken.mp4"]["error_kind"] == "not-a-video"
    assert listed["red-square-left.mp4"]["state"] == "indexed"
    # It is skipped from now on.
    assert command("index", folder).returncode == 0


def test_moved_deleted_and_unplugged(tmp_path: Path, command: RunVidsearch) -> None:
    folder = tmp_path / "disk" / "videos"
    folder.mkdir(parents=True)
    for name in ("red-square-left.mp4", "blue-heart-grows.mp4"):
        shutil.copy(CLIPS / name, folder)
    assert command("index", folder).returncode == 0
    (folder / "red-square-left.mp4").rename(folder / "renamed.mp4")
    (folder / "blue-heart-grows.mp4").unlink()
    report = json_of(command("index", folder, "--json"))
    assert (report["moved"], report["gone"], report["indexed"]) == (1, 1, [])

    (tmp_path / "disk").rename(tmp_path / "unplugged")
    report = json_of(command("index", folder, "--json"))
    assert (report["offline"], report["gone"]) == ([str(folder)], 0)
    [hit] = json_of(command("query", "a red square", "--json"))["hits"]
    assert hit["offline"] is True
    assert Path(hit["path"]).name == "renamed.mp4"


def test_remove_forgets_and_leaves_the_files(clips_library: Path, command: RunVidsearch) -> None:
    clip = CLIPS / "red-square-left.mp4"
    assert command("remove", clip).returncode == 0
    assert clip.exists()
    paths = [video["path"] for video in json_of(command("videos", "--json"))["videos"]]
    assert str(clip) not in paths
    assert command("remove", clip).returncode == 2


def test_a_dry_run_changes_nothing(tmp_path: Path, own_home: Path, command: RunVidsearch) -> None:
    done = command("index", CLIPS, "--dry-run", "--json")
    assert done.returncode == 0
    assert len(json_of(done)["to_index"]) == len(list(CLIPS.glob("*.mp4")))
    assert not own_home.exists()


def test_names_survive_every_output(tmp_path: Path, vidsearch: RunVidsearch, command: RunVidsearch) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    names = [b"two\nlines.mp4", b"caf\xe9.mp4", b"-dash.mp4", b"[red] [bold].mp4", "é.mp4".encode(), b"tab\there.mp4"]
    clips = sorted(CLIPS.glob("*.mp4"), key=lambda clip: clip.stat().st_size)
    for name, clip in zip(names, clips, strict=False):
        shutil.copy(clip, os.fsencode(folder) + b"/" + name)
    assert vidsearch("index", folder).returncode == 0
    done = vidsearch("query", "a star", "--all", "-f", "-0", "-k", "50")
    assert set(done.stdout.split(b"\0")[:-1]) == {os.fsencode(folder) + b"/" + name for name in names}
    hits = json_of(command("query", "a star", "--all", "--json", "-k", "50"))["hits"]
    assert {os.fsencode(hit["path"]) for hit in hits} == {os.fsencode(folder) + b"/" + name for name in names}
    lines = command("query", "a star", "--all", "-k", "50").stdout.splitlines()
    assert len(lines) == len(hits)
    assert all(len(line.split(b"\t")) == 6 for line in lines)
    assert command("videos").returncode == 0


def test_the_result_page_is_whole(clips_library: Path, tmp_path: Path, command: RunVidsearch) -> None:
    page = tmp_path / "page.html"
    done = command("query", "a red <b> square", "--page", page, "-k", "2")
    assert done.returncode == 0
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 2
    assert len(re.findall(r"</span> match (high|medium|low) \(0\.\d{3}\)", text)) == 2
    assert "<b>" not in text
    assert "http" not in text


@pytest.mark.skipif(not SHARED.exists(), reason="the shared test material is not beside the repository")
def test_real_clips_index_without_a_failure(vidsearch: RunVidsearch) -> None:
    names = [
        "mdn_insect_on_flower.mp4",
        "photoprism_earth_night.mov",
        "exoplayer_seabirds.avi",
        "mdn_flower_opening.webm",
    ]
    done = vidsearch("index", *(SHARED / "videos" / "clips" / name for name in names), "--json")
    assert done.returncode == 0
    assert len(json_of(done)["indexed"]) == len(names)
