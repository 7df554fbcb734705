"""`vidsearch evaluate` on small stand-ins in the official layouts, with the bundled model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from json_schemas import follows
from support import CLIPS as CLIPS_DIR
from support import RunVidsearch

from vidsearch.training.world.stand_ins import write_activitynet, write_msrvtt

CLIPS = 12


@pytest.fixture(scope="module")
def msrvtt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_msrvtt(tmp_path_factory.mktemp("MSRVTT"), CLIPS)


def test_retrieval_gives_one_json_object(msrvtt: Path, command: RunVidsearch) -> None:
    done = command("evaluate", "retrieval", "msrvtt-1ka", "--data", msrvtt, "--model", "mobileviclip-nano", "--json")
    assert done.returncode == 0 and done.stderr == b""
    result = follows("evaluate-retrieval", done.stdout)
    assert (result["set"], result["model"], result["items"]) == ("msrvtt-1ka", "mobileviclip-nano", CLIPS)
    assert result["version"] == 1 and result["texts"] == CLIPS
    assert result["missing"] == [] and result["unreadable"] == {}
    for direction in ("t2v", "v2t", "t2v_dual", "v2t_dual"):
        own = result["metrics"][direction]
        assert own["r1"] <= own["r5"] <= own["r10"] <= 100 and own["mdr"] >= 1 and own["mnr"] >= 1
        assert own["r1"] >= 50  # chance is 8
    assert {"model": "MobileViCLIP-Small", "t2v_r1": 42.5, "v2t_r1": 43.5} in [
        {key: value for key, value in row.items() if key != "note"} for row in result["published"]
    ]
    assert "8 middle frames" in result["protocol"]


def test_the_table_stands_beside_what_was_published(msrvtt: Path, command: RunVidsearch) -> None:
    done = command("evaluate", "retrieval", "msrvtt-1ka", "--data", msrvtt, "--limit", "5")
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "mobileviclip-nano on msrvtt-1ka: 5 videos, 5 texts"
    assert [line.split("\t")[0] for line in lines[1:5]] == [
        "text to video",
        "video to text",
        "text to video, dual softmax",
        "video to text, dual softmax",
    ]
    assert any(line.startswith("MobileViCLIP-Small\t42.5\t43.5\t") for line in lines)


def test_actions_are_named_of_the_classes_of_a_folder(tmp_path: Path, command: RunVidsearch) -> None:
    for name in ("yellow-star-blinks", "green-cross-camera-zooms-in", "blue-heart-grows"):
        label = name.split("-")[1]
        (tmp_path / label).mkdir()
        (tmp_path / label / f"{name}.mp4").symlink_to(CLIPS_DIR / f"{name}.mp4")
    done = command("evaluate", "actions", "folder", "--data", tmp_path, "--json")
    assert done.returncode == 0 and done.stderr == b""
    result = follows("evaluate-actions", done.stdout)
    assert (result["items"], result["classes"], result["missing"]) == (3, 3, [])
    assert result["metrics"]["top5"] == 100 and result["published"] == []
    assert result["metrics"]["avg"] == (result["metrics"]["top1"] + 100) / 2
    lines = command("evaluate", "actions", "folder", "--data", tmp_path).stdout.decode().splitlines()
    assert lines[0] == "mobileviclip-nano on folder: 3 videos, 3 classes"
    assert lines[1] == f"\t{result['metrics']['top1']:.1f}\t100.0\t{result['metrics']['avg']:.1f}"


def test_what_is_left_out_is_named(tmp_path: Path, command: RunVidsearch) -> None:
    folder = write_activitynet(tmp_path / "anet", 4)
    (folder / "v_1.mp4").unlink()
    done = command("evaluate", "retrieval", "activitynet", "--data", folder, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["missing"] == ["v_1"]
    assert b"Left out: 1 videos that are not there: v_1." in done.stderr
    (folder / "v_2.mp4").write_bytes(b"no video")
    done = command("evaluate", "retrieval", "activitynet", "--data", folder, "--json")
    assert done.returncode == 3  # some videos failed
    result = follows("evaluate-retrieval", done.stdout)
    assert result["items"] == 2 and list(result["unreadable"]) == ["v_2"]
    assert b"Left out: 1 videos that cannot be read" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("retrieval", "youcook", "--data", "."), 2, b"No retrieval set is called 'youcook'"),
        (("retrieval", "lsmdc", "--data", "."), 2, b"holds no LSMDC16_challenge_1000_publictect.csv"),
        (("retrieval", "lsmdc", "--data", ".", "--model", "mobilevideogpt-nano"), 5, b"mobilevideogpt-nano"),
        (("retrieval", "lsmdc"), 2, b"Missing option '--data'"),
        (("actions", "ssv2", "--data", "."), 2, b"No action set is called 'ssv2'"),
    ],
)
def test_mistakes_are_named(words: tuple[str, ...], code: int, message: bytes, command: RunVidsearch) -> None:
    done = command("evaluate", *words)
    assert done.returncode == code and message in done.stderr
