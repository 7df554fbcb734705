"""A retrieval benchmark from files to figures: a model whose right answers are known, in small stand-ins."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from fakes import ColourEmbedder, CountingEmbedder

from vidsearch.errors import VidsearchError
from vidsearch.evaluation.run_retrieval import RetrievalResult, evaluate_retrieval
from vidsearch.evaluation.video_vectors import Progress, SetRequest, middle_frames, middle_indices
from vidsearch.records import FrameSpec

COLOURS = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220)}


def colour_video(path: Path, *colours: str, frames: int = 12) -> Path:
    """A video of one second and a half for each colour, at 8 frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for colour in colours:
            picture = np.full((32, 32, 3), COLOURS[colour], np.uint8)
            for _ in range(frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_text("version 1")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """MSR-VTT's layout: three videos, of which the captions of two were swapped, one that is not there, one broken."""
    folder = tmp_path / "MSRVTT"
    colour_video(folder / "videos" / "video1.mp4", "red")
    colour_video(folder / "videos" / "video2.mp4", "green")
    colour_video(folder / "videos" / "video3.mp4", "blue")
    (folder / "videos" / "video5.mp4").write_bytes(b"no video at all")
    rows = ["key,vid_key,video_id,sentence", 'ret0,msr1,video1,"something red, only red"', "ret1,msr2,video2,blue"]
    rows += ["ret2,msr3,video3,green", "ret3,msr4,video4,black", "ret4,msr5,video5,white"]
    (folder / "MSRVTT_JSFUSION_test.csv").write_text("\n".join(rows) + "\n")
    return folder


def run(request: SetRequest, embedder: ColourEmbedder, cache: Path, weights: Path) -> RetrievalResult:
    *progress, result = evaluate_retrieval(request, embedder, embedder, cache, weights)
    assert all(isinstance(event, Progress) for event in progress)
    assert isinstance(result, RetrievalResult)
    return result


def test_a_set_is_measured_and_what_is_left_out_is_named(data: Path, tmp_path: Path, weights: Path) -> None:
    result = run(SetRequest("msrvtt-1ka", data), CountingEmbedder(), tmp_path / "cache", weights)
    assert (result.items, result.texts, result.missing) == (3, 3, ("video4",))
    assert list(result.unreadable) == ["video5"]
    for direction in ("t2v", "v2t", "t2v_dual", "v2t_dual"):
        own = result.metrics[direction]
        assert own["r1"] == pytest.approx(100 / 3) and own["r5"] == own["r10"] == 100
        assert 2 <= own["mdr"] <= 3 and 5 / 3 <= own["mnr"] <= 7 / 3  # the swapped ones come second or third
    known = {each.model: each.figures for each in result.published}
    assert known["MobileViCLIP-Small"] == {"t2v_r1": 42.5, "v2t_r1": 43.5}
    written = json.loads(json.dumps(result.as_dict()))
    assert {"set", "model", "items", "missing", "metrics", "published", "protocol"} <= written.keys()
    assert written["missing"] == ["video4"] and written["set"] == "msrvtt-1ka"


def test_vectors_are_kept_by_file_and_model(data: Path, tmp_path: Path, weights: Path) -> None:
    request, cache = SetRequest("msrvtt-1ka", data), tmp_path / "cache"
    first, second = CountingEmbedder(), CountingEmbedder()
    assert run(request, first, cache, weights) == run(request, second, cache, weights)
    assert (first.clips, second.clips) == (3, 0)
    colour_video(data / "videos" / "video2.mp4", "blue", frames=16)  # another file of the same name
    third = CountingEmbedder()
    assert run(request, third, cache, weights).metrics["t2v"]["r1"] == pytest.approx(200 / 3)
    assert third.clips == 1
    weights.write_text("version 2, longer")
    fourth = CountingEmbedder()
    run(request, fourth, cache, weights)
    assert fourth.clips == 3


def test_a_run_that_was_cut_off_embeds_no_video_twice(tmp_path: Path, weights: Path) -> None:
    folder = tmp_path / "many"
    names = [f"{number}.mp4" for number in range(10)]
    for number, name in enumerate(names):
        colour_video(folder / name, list(COLOURS)[number % 3], frames=2)
    (folder / "captions.csv").write_text("file,caption\n" + "".join(f"{name},red\n" for name in names))
    first, second = CountingEmbedder(), CountingEmbedder()
    events = evaluate_retrieval(SetRequest("folder", folder), first, first, tmp_path / "cache", weights)
    for event in events:
        if isinstance(event, Progress) and event.done == 5:
            events.close()
    result = run(SetRequest("folder", folder), second, tmp_path / "cache", weights)
    assert result.items == 10 and first.clips == 8 and second.clips <= 5


def test_several_captions_of_a_file_and_a_limit(tmp_path: Path, weights: Path) -> None:
    colour_video(tmp_path / "a.mp4", "red")
    colour_video(tmp_path / "b.mp4", "green")
    rows = ["file,caption", "a.mp4,blue", "a.mp4,red", "b.mp4,green", "c.mp4,blue"]
    (tmp_path / "captions.csv").write_text("\n".join(rows))
    embedder = CountingEmbedder()
    result = run(SetRequest("folder", tmp_path), embedder, tmp_path / "cache", weights)
    assert (result.items, result.texts, result.missing) == (2, 3, ("c.mp4",))
    assert result.metrics["v2t"]["r1"] == 100  # one of a video's texts is enough
    assert result.metrics["t2v"]["mnr"] < 1.5
    limited = run(SetRequest("folder", tmp_path, limit=1), embedder, tmp_path / "cache", weights)
    assert (limited.items, limited.texts, limited.missing) == (1, 2, ())


def test_didemo_is_looked_at_for_thirty_seconds(tmp_path: Path, weights: Path) -> None:
    long = colour_video(tmp_path / "long.mp4", "red", "blue", frames=8 * 30)
    spec = FrameSpec(16)
    whole, start = middle_frames(long, spec, 8), middle_frames(long, spec, 8, first_s=30.0)
    assert [int(frame.mean((0, 1)).argmax()) for frame in whole] == [0] * 4 + [2] * 4
    assert [int(frame.mean((0, 1)).argmax()) for frame in start] == [0] * 8
    short = colour_video(tmp_path / "short.mp4", "green", frames=3)
    assert middle_frames(short, spec, 8, first_s=30.0).shape == (8, 16, 16, 3)  # the last one is repeated
    assert middle_indices(3).tolist() == [0, 1, 2, 2, 2, 2, 2, 2]


def test_data_that_are_not_there_are_named(tmp_path: Path, weights: Path) -> None:
    embedder = CountingEmbedder()
    (tmp_path / "captions.csv").write_text("file,caption\nnone.mp4,red\n")
    for request, message in (
        (SetRequest("youcook", tmp_path), "No retrieval set is called 'youcook'; choose one of msrvtt-1ka"),
        (SetRequest("folder", tmp_path / "nowhere"), "There is no folder .*nowhere"),
        (SetRequest("lsmdc", tmp_path), "holds no LSMDC16_challenge_1000_publictect.csv"),
        (SetRequest("folder", tmp_path), "None of the 1 videos of folder is below"),
    ):
        with pytest.raises(VidsearchError, match=message):
            list(evaluate_retrieval(request, embedder, embedder, tmp_path / "cache", weights))
