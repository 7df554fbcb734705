"""`vidsearch index`: what it says before and after its work, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support import CLIPS, RunVidsearch
from video_samples import make_cut_video, make_room_video

from vidsearch.cli import show

CLIP = "red-square-left.mp4"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    shutil.copy(CLIPS / CLIP, tmp_path / "videos")
    return tmp_path / "videos"


@pytest.mark.parametrize("value", ["inf", "nan", "0", "-1", "1e9"])
def test_a_window_is_a_length_that_can_be(value: str, folder: Path, command: RunVidsearch) -> None:
    done = command("index", folder, "--window", value, "--stride", "1", env={"COLUMNS": "200"})
    assert done.returncode == 2
    assert b"is not from 0.1 to 86400 seconds" in done.stderr


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("./raw", "write /raw"),
        ("{folder}/raw", "write /raw"),
        ("../raw", "it lies outside"),
        ("{outside}", "it lies outside"),
        ("raw", None),
        ("/raw", None),
        ("*/raw/*", None),
    ],
)
def test_a_pattern_that_matches_nothing_is_told(
    pattern: str, advice: str | None, folder: Path, command: RunVidsearch
) -> None:
    pattern = pattern.format(folder=folder, outside=folder.parent)
    said = command("index", folder, "--dry-run", "--exclude", pattern).stderr.decode()
    expected = f"--exclude {pattern} matches nothing: patterns are relative to the folder indexed; {advice}.\n"
    assert (expected in said) == (advice is not None)
    assert ("matches nothing" in said) == (advice is not None)


def test_an_empty_folder_is_told(tmp_path: Path, command: RunVidsearch) -> None:
    (tmp_path / "empty").mkdir()
    said = command("index", tmp_path / "empty").stderr.decode()
    assert said.startswith(f"vidsearch: No videos were found in {tmp_path / 'empty'}.\n")
    (tmp_path / "empty" / ".a.mp4").write_bytes(b"")
    said = command("index", tmp_path / "empty").stderr.decode()
    assert f"No videos were found in {tmp_path / 'empty'}; 1 file or folder is hidden or excluded.\n" in said


def test_everything_else_that_a_run_says(folder: Path, tmp_path: Path, command: RunVidsearch) -> None:
    """One library through its life: a change of windows, exclusion, a link, a new name; what failed is counted."""
    assert command("index", folder, "--window", "2", "--stride", "1").returncode == 0
    for options in (("--dry-run",), ()):
        said = command("index", folder, *options).stderr.decode()
        assert "1 video to index again: windows of 2 s every 1 s become windows of 8 s every 4 s.\n" in said

    (tmp_path / "link").symlink_to(folder)
    said = command("index", tmp_path / "link").stderr.decode()
    assert said.startswith(f"vidsearch: {tmp_path / 'link'} is {folder}, as the library knows it.\n")
    assert json.loads(command("info", "--json").stdout)["roots"] == [{"path": str(folder), "offline": False}]
    assert command("videos", "--under", tmp_path / "link" / CLIP).stdout.count(b"\n") == 1
    found = command("query", "a red square", "--under", tmp_path / "link", "--all", "-f")
    assert found.stdout == f"{folder / CLIP}\n".encode()

    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "dead.mp4").symlink_to(tmp_path / "nowhere.mp4")
    done = command("index", folder)
    assert done.returncode == 3
    assert b"1 video failed; vidsearch videos --failed lists them. 1 place could not be read; see above." in done.stderr
    assert command("videos", "--failed").stdout.count(b"\n") == 1
    note = command("videos", "--failed").stdout.decode().rstrip("\n").split("\t")[-1]
    assert str(folder) not in note and note
    (folder / "broken.mp4").unlink()
    (folder / "dead.mp4").unlink()

    report = json.loads(command("index", folder, "--exclude", CLIP, "--json", "--dry-run").stdout)
    assert (report["excluded"], report["gone"], report["recut"]) == (1, 1, 0)
    said = command("index", folder, "--exclude", CLIP).stderr.decode()
    assert "1 excluded now and forgotten" in said
    assert command("videos").stdout == b""

    folder.rename(tmp_path / "renamed")
    done = command("remove", folder)
    assert (done.returncode, done.stderr) == (0, f"Forgot 0 videos under {folder}.\n".encode())
    assert json.loads(command("info", "--json").stdout)["roots"] == []


def test_windows_that_are_still_are_counted(tmp_path: Path, command: RunVidsearch) -> None:
    make_room_video(tmp_path / "night.mp4", [(16, False)])
    said = command("index", tmp_path).stderr.decode()
    assert "Indexed 1 video (00:16.0, 3 windows, 2 of them still) in " in said
    assert "model\tmobileviclip-nano: 3 windows, 2 of them still, of 1 videos" in command("info").stdout.decode()
    assert json.loads(command("info", "--json").stdout)["models"][0]["still_windows"] == 2
    report = json.loads(command("index", tmp_path, "--still", "embed", "--dry-run", "--json").stdout)
    assert (report["embedded_again"], report["recut"]) == (1, 0)
    said = command("index", tmp_path, "--still", "embed").stderr.decode()
    assert "1 video to index again: still windows get vectors of their own (--still embed).\n" in said
    assert "Indexed 1 video (00:16.0, 3 windows) in " in said
    refused = command("index", tmp_path, "--still", "yes")
    assert refused.returncode == 2 and b"'yes' is none of reuse, embed" in refused.stderr


@pytest.mark.needs_scenedetect
def test_windows_follow_the_cuts_of_a_film(tmp_path: Path, command: RunVidsearch, vidsearch: RunVidsearch) -> None:
    """The real program: what a change of windows does is told before, and a hit begins at its cut."""
    make_cut_video(tmp_path / "film.mp4", [6, 3, 11], fps=10)
    command("index", tmp_path)
    told = "1 video to index again: windows of 8 s every 4 s become windows of one shot, or 8 s of it.\n"
    assert told in command("index", tmp_path, "--windows", "shots", "--dry-run").stderr.decode()
    said = vidsearch("index", tmp_path, "--windows", "shots").stderr.decode()
    assert told in said and "Indexed 1 video (00:20.0, 4 windows) in " in said
    assert "to index again" not in command("index", tmp_path, "--windows", "shots").stderr.decode()
    assert "4 windows that follow cuts of 1 videos" in command("info").stdout.decode()
    [spec] = json.loads(command("info", "--json").stdout)["models"][0]["window_specs"]
    assert spec == {"window_s": 8.0, "stride_s": 8.0, "windows": "shots"}
    found = vidsearch("query", "a red square", "--json", "--per-video", "9", "--all", "--duplicates")
    spans = {(hit["start_s"], hit["end_s"]) for hit in json.loads(found.stdout)["hits"]}
    assert spans and {start_s for start_s, _ in spans} <= {0.0, 6.0, 9.0, 17.0}
    said = command("index", tmp_path, "--dry-run").stderr.decode()
    assert "windows of one shot, or 8 s of it become windows of 8 s every 4 s.\n" in said


def test_shots_have_no_stride_and_need_their_package(
    folder: Path, command: RunVidsearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = command("index", folder, "--windows", "shots", "--stride", "2", env={"COLUMNS": "200"})
    assert refused.returncode == 2 and b"--stride 2 goes with --windows grid" in refused.stderr
    monkeypatch.setattr("vidsearch.extras.installed", lambda package: package != "scenedetect")
    missing = command("index", folder, "--windows", "shots")
    assert missing.returncode == 2 and missing.stderr.decode() == (
        "vidsearch: index --windows shots needs the package scenedetect, which is not installed; "
        "install it with: pip install 'vidsearch[shots]'\n"
    )


def test_a_link_to_a_folder_is_removed_as_the_folder(
    clips_library: Path, tmp_path: Path, command: RunVidsearch
) -> None:
    (tmp_path / "link").symlink_to(CLIPS)
    assert command("remove", tmp_path / "link" / CLIP).returncode == 0
    paths = [video["path"] for video in json.loads(command("videos", "--json").stdout)["videos"]]
    assert str(CLIPS / CLIP) not in paths and len(paths) == len(list(CLIPS.glob("*.mp4"))) - 1


def test_a_warning_names_its_file_once() -> None:
    path = Path("/videos/x.ts")
    assert show.about(path, "/videos/x.ts ends too early.") == "/videos/x.ts ends too early."
    assert show.about(path, "It ends too early.") == "/videos/x.ts: It ends too early."


def test_the_library_says_which_runtimes_made_its_vectors(folder: Path, command: RunVidsearch) -> None:
    assert command("index", folder, "--runtime", "torch", "--device", "cpu").returncode == 0
    [model] = json.loads(command("info", "--json").stdout)["models"]
    [torch] = model["runtimes"]
    assert (torch["runtime"], torch["videos"]) == ("torch", 1) and torch["precision"] in ("float32", "bfloat16")
    assert f": 1 windows of 1 videos, by torch {torch['precision']}\n" in command("info").stdout.decode()

    shutil.copy(CLIPS / "blue-heart-grows.mp4", folder)
    assert command("index", folder, "--runtime", "onnx").returncode == 0
    [model] = json.loads(command("info", "--json").stdout)["models"]
    onnx = {"runtime": "onnx", "precision": "float32", "videos": 1}
    assert sorted(model["runtimes"], key=str) == sorted([torch, onnx], key=str)
    told = command("info").stdout.decode()
    assert f"1 by torch {torch['precision']}" in told and "1 by ONNX Runtime float32" in told
    assert "; all may be compared\n" in told
