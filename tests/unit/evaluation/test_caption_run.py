"""A set of captions from files to figures, with a model whose captions are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes import ScriptedAnswerer, ScriptedSession

from vidsearch.answering.interface import Clip
from vidsearch.errors import VideoError, VidsearchError
from vidsearch.evaluation.caption_sets import read_captioned
from vidsearch.evaluation.run_captions import PROMPT, CaptionRequest, CaptionResult, evaluate_captions

SAID = {"video1": "a man is riding a horse on the beach", "video2": "a woman is cutting an onion <|im_end|>"}


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a machine without Java: METEOR would read its tables for ten seconds."""
    monkeypatch.setenv("PATH", str(tmp_path))


class Speaker(ScriptedAnswerer):
    """Says of each video what `SAID` has of it."""

    def __init__(self) -> None:
        super().__init__({})

    def encode(self, clip: Clip) -> ScriptedSession:
        if clip.path.stem not in SAID:
            raise VideoError("corrupt", f"{clip.path} is damaged.")
        self.answers = {PROMPT: SAID[clip.path.stem]}
        return super().encode(clip)


@pytest.fixture
def msrvtt(tmp_path: Path) -> Path:
    folder = tmp_path / "MSRVTT"
    (folder / "videos").mkdir(parents=True)
    for name in ("video0", "video1", "video2", "video3"):
        (folder / "videos" / f"{name}.mp4").write_bytes(b"not looked at")
    references = {
        "video0": ["not of this part"],
        "video1": ["A man is riding a horse.", "Someone is riding a horse near the sea."],
        "video2": ["A woman is slicing an onion."],
        "video3": ["a broken video"],
        "video4": ["a video that is not there"],
    }
    said = [(name, text) for name, texts in references.items() for text in texts]
    content = {
        "info": {},
        "videos": [
            {"id": number, "video_id": name, "category": 9, "split": "train" if name == "video0" else "test"}
            for number, name in enumerate(references)
        ],
        "sentences": [{"sen_id": n, "video_id": name, "caption": text} for n, (name, text) in enumerate(said)],
    }
    (folder / "MSRVTT_data.json").write_text(json.dumps(content))
    return folder


def run(request: CaptionRequest, answerer: ScriptedAnswerer, tmp_path: Path) -> CaptionResult:
    weights = tmp_path / "weights"
    if not weights.exists():
        weights.write_text("weights")
    *_, result = evaluate_captions(request, "scripted", weights, lambda: answerer, tmp_path / "cache")
    assert isinstance(result, CaptionResult)
    return result


def test_captions_are_scored_and_kept_and_what_is_left_out_is_named(msrvtt: Path, tmp_path: Path) -> None:
    first, second = Speaker(), Speaker()
    result = run(CaptionRequest("msrvtt", msrvtt), first, tmp_path)
    assert (result.items, result.missing, list(result.unreadable)) == (2, ("video4",), ["video3"])
    assert result.captions == {"video1": SAID["video1"], "video2": "a woman is cutting an onion"}
    # of 9 and 6 words 6 + 1 ("near the sea" has "the") and 5 are in the references
    assert result.metrics["bleu1"] == pytest.approx(100 * 12 / 15, abs=0.01)
    assert "meteor" not in result.metrics and "needs Java" in result.protocol
    written = json.loads(json.dumps(result.as_dict()))
    assert {"set", "model", "items", "missing", "metrics", "published", "protocol"} <= written.keys()
    assert written["published"][0]["bleu4"] == 48.9
    assert run(CaptionRequest("msrvtt", msrvtt), second, tmp_path) == result and second.asked == []
    assert len(first.asked) == 2


def test_captions_made_elsewhere_are_scored(msrvtt: Path, tmp_path: Path) -> None:
    candidates = tmp_path / "candidates.json"
    candidates.write_text(json.dumps([{"image_id": "video1", "caption": SAID["video1"]}]))
    result = run(CaptionRequest("msrvtt", msrvtt, candidates=candidates), Speaker(), tmp_path)
    assert (result.items, result.missing) == (1, ("video2", "video3", "video4"))
    candidates.write_text(json.dumps({"video1": SAID["video1"]}))
    assert run(CaptionRequest("msrvtt", msrvtt, candidates=candidates), Speaker(), tmp_path).items == 1
    candidates.write_text(json.dumps([{"caption": "a dog"}]))
    with pytest.raises(VidsearchError, match="record 1: a candidate needs video_id and caption"):
        run(CaptionRequest("msrvtt", msrvtt, candidates=candidates), Speaker(), tmp_path)


def test_a_folder_of_captioned_videos(tmp_path: Path) -> None:
    (tmp_path / "video1.mp4").write_bytes(b"")
    (tmp_path / "captions.csv").write_text("file,caption\nvideo1.mp4,one\nvideo1.mp4,two\ngone.mp4,three\n")
    first, second = read_captioned("folder", tmp_path)
    assert (first.name, first.references, first.path) == ("video1.mp4", ("one", "two"), tmp_path / "video1.mp4")
    assert (second.name, second.path) == ("gone.mp4", None)


def test_data_that_are_not_there_are_named(tmp_path: Path) -> None:
    for name, message in (
        ("msvd", "No set of captions is called 'msvd'; choose one of msrvtt, folder"),
        ("msrvtt", "holds no JSON file with videos and sentences"),
    ):
        with pytest.raises(VidsearchError, match=message):
            read_captioned(name, tmp_path)
    (tmp_path / "a.json").write_text(json.dumps({"videos": [{}], "sentences": [{}]}))
    with pytest.raises(VidsearchError, match="captions of msrvtt are not as its authors hand them out"):
        read_captioned("msrvtt", tmp_path)
