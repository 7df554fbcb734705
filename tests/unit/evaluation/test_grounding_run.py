"""Moments and features from files to figures: a model whose right answers are known, in small stand-ins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEmbedder, CountingEmbedder
from test_retrieval_run import colour_video

from vidsearch.errors import VidsearchError
from vidsearch.evaluation.features import FeaturesRequest, FeaturesWritten, write_features
from vidsearch.evaluation.grounding_sets import read_grounding
from vidsearch.evaluation.run_grounding import (
    GroundingRequest,
    GroundingResult,
    evaluate_grounding,
    write_predictions,
)
from vidsearch.evaluation.video_vectors import Progress

VID = "abCdEfGhIjK_60.0_210.0"  # a name that ends like a file's


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_text("version 1")
    return path


@pytest.fixture
def charades(tmp_path: Path) -> Path:
    """12 s of red, then green, then blue, four seconds each; a broken video, and one that is not there."""
    folder = tmp_path / "Charades"
    colour_video(folder / "Charades_v1" / "AB1CD.mp4", "red", "green", "blue", frames=32)
    (folder / "Charades_v1" / "XX000.mp4").write_bytes(b"no video")
    lines = ["AB1CD 0.0 4.0##something is red .", "AB1CD 4.0 8.0##it is green", "AB1CD 4.0 8.0##all blue"]
    lines += ["XX000 0.0 1.0##red", "GONE0 0.0 1.0##red"]
    (folder / "charades_sta_test.txt").write_text("\n".join(lines) + "\n")
    return folder


def run(request: GroundingRequest, embedder: ColourEmbedder, cache: Path, weights: Path) -> GroundingResult:
    *progress, result = evaluate_grounding(request, embedder, embedder, cache, weights)
    assert all(isinstance(event, Progress) for event in progress)
    assert isinstance(result, GroundingResult)
    return result


def test_moments_are_found_and_what_is_left_out_is_named(charades: Path, tmp_path: Path, weights: Path) -> None:
    request = GroundingRequest("charades-sta", charades, length_s=2, stride_s=2)
    result = run(request, CountingEmbedder(), tmp_path / "cache", weights)
    assert (result.items, result.left_out, result.missing) == (3, 2, ("GONE0",))
    assert list(result.unreadable) == ["XX000"]
    # Two windows of each colour are one moment of four seconds; the third sentence names another one.
    assert [[(own.start_s, own.end_s) for own in each.moments[:1]] for each in result.answers] == [
        [(0.0, 4.0)],
        [(4.0, 8.0)],
        [(8.0, 12.0)],
    ]
    assert [result.metrics[f"r1@{at}"] for at in ("0.3", "0.5", "0.7")] == [pytest.approx(200 / 3)] * 3
    assert result.metrics["miou"] == pytest.approx(200 / 3, abs=1e-4)
    assert "windows of 2 s every 2 s" in result.protocol
    written = json.loads(json.dumps(result.as_dict()))
    assert {"set", "model", "items", "missing", "metrics", "published", "protocol"} <= written.keys()


def test_windows_are_kept(charades: Path, tmp_path: Path, weights: Path) -> None:
    request = GroundingRequest("charades-sta", charades, length_s=2, stride_s=2)
    first, second, third = CountingEmbedder(), CountingEmbedder(), CountingEmbedder()
    results = [run(request, own, tmp_path / "cache", weights) for own in (first, second)]
    assert results[0].metrics == results[1].metrics and (first.clips, second.clips) == (6, 0)
    run(GroundingRequest("charades-sta", charades, length_s=4, stride_s=4), third, tmp_path / "cache", weights)
    assert third.clips == 3


@pytest.fixture
def qvhighlights(tmp_path: Path) -> Path:
    folder = tmp_path / "QVHighlights"
    colour_video(folder / "videos" / f"{VID}.mp4", "red", "green", "blue", frames=32)
    own = {"duration": 12, "vid": VID}
    rows = [
        {"qid": 9, "query": "a red thing", **own, "relevant_windows": [[0, 4]], "relevant_clip_ids": [0, 1],
         "saliency_scores": [[2, 3, 4], [4, 4, 4]]},
        {"qid": 12, "query": "a blue thing", **own, "relevant_windows": [[4, 8]], "relevant_clip_ids": [2, 3],
         "saliency_scores": [[2, 2, 2], [3, 3, 3]]},
    ]  # fmt: skip
    (folder / "highlight_val_release.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return folder


def test_qvhighlights_and_the_file_of_predictions(qvhighlights: Path, tmp_path: Path, weights: Path) -> None:
    request = GroundingRequest("qvhighlights", qvhighlights, length_s=2, stride_s=2)
    result = run(request, ColourEmbedder(), tmp_path / "cache", weights)
    # The second sentence's best moment is [8, 12]; red and green, equally far from it, are the next one: [0, 8], whose
    # overlap with [4, 8] is 0.5. So its average precision is 1/2 at 0.5 and 0 above.
    assert result.metrics["r1@0.5"] == 50
    assert result.metrics["map@0.5"] == pytest.approx(75) and result.metrics["map_short"] == pytest.approx(52.5)
    assert result.metrics["hit1_fair"] == 50 and result.metrics["hit1_very_good"] == 50
    path = tmp_path / "out" / "predictions.jsonl"
    write_predictions(path, result.answers)
    first = json.loads(path.read_text().splitlines()[0])
    assert (first["qid"], first["query"], first["vid"]) == (9, "a red thing", VID)
    windows = first["pred_relevant_windows"]
    assert windows[0][:2] == [0.0, 4.0] and windows == sorted(windows, key=lambda window: -window[2])
    assert len(first["pred_saliency_scores"]) == 6 and np.argmax(first["pred_saliency_scores"]) in (0, 1)


def test_features_are_what_moment_detr_reads(qvhighlights: Path, tmp_path: Path, weights: Path) -> None:
    embedder, out = CountingEmbedder(), tmp_path / "features"
    request = FeaturesRequest("qvhighlights", qvhighlights, out)
    for _ in range(2):
        *_, written = write_features(request, embedder, embedder, tmp_path / "cache", weights)
    assert isinstance(written, FeaturesWritten)
    assert (written.videos, written.queries, embedder.clips) == (1, 2, 6)  # embedded once
    with np.load(out / "clips" / f"{VID}.npz") as clips:
        assert clips["features"].shape == (6, 3) and clips["features"].dtype == np.float32
        assert clips["features"].argmax(axis=1).tolist() == [0, 0, 1, 1, 2, 2]
    with np.load(out / "text" / "qid12.npz") as text:
        assert text["last_hidden_state"].shape == (1, 3) and text["pooler_output"].tolist() == [0, 0, 1]


def test_features_of_a_longer_video_are_cut(tmp_path: Path, weights: Path) -> None:
    folder = tmp_path / "long"
    colour_video(folder / f"{VID}.mp4", "red", "green", frames=8 * 77)
    row = {"qid": 1, "query": "red", "duration": 150, "vid": VID, "relevant_windows": [[0, 4]]}
    (folder / "highlight_test_with_gt.jsonl").write_text(json.dumps(row))
    list(write_features(FeaturesRequest("qvhighlights", folder, tmp_path), ColourEmbedder(), ColourEmbedder(),
                        tmp_path / "cache", weights))  # fmt: skip
    with np.load(tmp_path / "clips" / f"{VID}.npz") as clips:
        assert clips["features"].shape == (75, 3)


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("charades-sta", "charades_sta_test.txt", "AB1CD 0.0 4.0 red\n", "is not as the authors of charades-sta hand"),
        ("charades-sta", "charades_sta_test.txt", "\n", "lists no queries"),
        ("charades-sta", "other.txt", "", "holds no charades_sta_test.txt"),
        ("qvhighlights", "highlight_val_release.jsonl", '{"qid": 1, "query": "a"}\n', "is not as the authors of qvh"),
        ("qvhighlights", "highlight_val_release.jsonl", "[" * 99_999, "lists and objects are nested too deeply"),
        (
            "qvhighlights",
            "highlight_val_release.jsonl",
            '{"qid": 7, "query": null, "vid": "a", "relevant_windows": [[0, 1]]}',
            "query 7 has no video or no text",
        ),
        ("charades-sta", "charades_sta_test.txt", "AB1CD nan 4.0##red\n", "a window of query 0 has no times"),
        ("tacos", "a", "", "No grounding set is called 'tacos'; choose one of qvhighlights, charades-sta"),
    ],
)
def test_data_in_another_form_are_named(tmp_path: Path, name: str, file: str, text: str, message: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(VidsearchError, match=message):
        read_grounding(name, tmp_path)
