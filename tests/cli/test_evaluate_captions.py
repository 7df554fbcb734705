"""`vidsearch evaluate captions` with the bundled answering model, on a machine without Java."""

from __future__ import annotations

import json
from pathlib import Path

from json_schemas import follows
from support import CLIPS, RunVidsearch

WITHOUT_JAVA = {"PATH": "/nowhere"}


def test_captions_of_a_folder(tmp_path: Path, command: RunVidsearch) -> None:
    (tmp_path / "star.mp4").symlink_to(CLIPS / "yellow-star-blinks.mp4")
    rows = ["file,caption", "star.mp4,a yellow star blinks", "star.mp4,a star that blinks", "gone.mp4,nothing"]
    (tmp_path / "captions.csv").write_text("\n".join(rows))
    words = ("evaluate", "captions", "folder", "--data", tmp_path, "--model", "mobilevideogpt-nano")
    done = command(*words, "--prompt", "Describe the clip.", "--json", env=WITHOUT_JAVA)
    assert done.returncode == 0
    result = follows("evaluate-captions", done.stdout)
    assert (result["set"], result["model"], result["items"]) == ("folder", "mobilevideogpt-nano", 1)
    assert result["missing"] == ["gone.mp4"] and list(result["captions"]) == ["star.mp4"]
    assert result["metrics"]["bleu1"] > 0 and "meteor" not in result["metrics"]
    assert b"METEOR is left out: it needs Java, which is not installed" in done.stderr


def test_captions_made_elsewhere_need_no_model(tmp_path: Path, command: RunVidsearch) -> None:
    content = {
        "videos": [{"video_id": "video7", "split": "test"}, {"video_id": "video8", "split": "test"}],
        "sentences": [{"video_id": name, "caption": "a dog runs"} for name in ("video7", "video8")],
    }
    (tmp_path / "test_videodatainfo.json").write_text(json.dumps(content))
    candidates = tmp_path / "candidates.jsonl"
    candidates.write_text(json.dumps({"video_id": "video7", "caption": "a dog sleeps"}) + "\n")
    words = ("evaluate", "captions", "msrvtt", "--data", tmp_path, "--candidates", candidates)
    done = command(*words, env=WITHOUT_JAVA)
    assert f"Left out: 1 videos that have no caption in {candidates}: video8." in done.stderr.decode().splitlines()
    lines = done.stdout.decode().splitlines()
    assert lines[0] == f"{candidates} on msrvtt: 1 videos" and lines[1] == "BLEU-1\t66.7"
    assert any(line.startswith("MobileViCLIP-Small\t48.9\t") for line in lines)
