"""Action recognition: the layouts, the score of a class, and a run with a model whose right answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEmbedder
from test_retrieval_run import colour_video

from vidsearch.errors import VidsearchError
from vidsearch.evaluation.action_sets import ActionVideo, class_text, read_actions
from vidsearch.evaluation.actions import class_scores, top
from vidsearch.evaluation.run_actions import ActionResult, evaluate_actions
from vidsearch.evaluation.video_vectors import SetRequest


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def run(request: SetRequest, folder: Path) -> ActionResult:
    weights = touch(folder / "weights")
    embedder = ColourEmbedder()
    *_, result = evaluate_actions(request, embedder, embedder, folder / "cache", weights)
    assert isinstance(result, ActionResult)
    return result


def test_a_worked_example_of_the_score_of_a_class() -> None:
    """Cosines with each prompt are averaged; a mean vector that is normalised again would choose the other class."""

    def unit(rows: list) -> np.ndarray:
        return np.array(rows) / np.linalg.norm(rows, axis=-1, keepdims=True)

    videos = unit([[1, 0.2, 0.1], [0.1, 1, 0.4]])
    prompts = np.stack([unit([[1, 0, 0], [0.2, 0.1, 1]]), unit([[0.6, 0.8, 0], [0.8, 0.6, 0]])])
    np.testing.assert_allclose(class_scores(videos, prompts), [[0.6403, 0.8198], [0.2808, 0.7119]], atol=5e-5)
    mean = unit(prompts.mean(axis=1).tolist())
    np.testing.assert_allclose((videos @ mean.T)[0], [0.8283, 0.8281], atol=5e-5)


def test_of_equal_scores_the_first_class_comes_first() -> None:
    scores = np.array([[0.5, 0.5, 0.1], [0.5, 0.5, 0.1]])
    assert top(scores, [0, 1], 1) == 50.0 and top(scores, [0, 1], 2) == 100.0


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("shooting goal (soccer)", "shooting goal (soccer)"),
        ("shoot_ball", "shoot ball"),
        ("ApplyEyeMakeup", "Apply Eye Makeup"),
        ("TaiChi", "Tai Chi"),
        ("YoYo", "Yo Yo"),
    ],
)
def test_a_class_is_said_with_blanks(label: str, text: str) -> None:
    assert class_text(label) == text


def test_kinetics_ids_are_strings_and_all_classes_count(tmp_path: Path) -> None:
    first = touch(tmp_path / "val" / "folding_paper" / "-b-CD_12345_000031_000041.mp4")
    second = touch(tmp_path / "val" / "_1234567890_000000_000010.mkv")
    rows = ["label,youtube_id,time_start,time_end,split,is_cc", '"folding paper",-b-CD_12345,31,41,val,0']
    rows += ['"abseiling",_1234567890,0,10,val,0', '"zumba",gone5678901,5,15,val,0']
    (tmp_path / "val.csv").write_text("\n".join(rows))
    test = read_actions("kinetics400", tmp_path)
    assert test.classes == ("abseiling", "folding paper", "zumba")
    assert test.videos == (
        ActionVideo("-b-CD_12345_000031_000041.mp4", 1, (1,), first),
        ActionVideo("_1234567890_000000_000010.mp4", 0, (1,), second),
        ActionVideo("gone5678901_000005_000015.mp4", 2, (1,), None),
    )


def test_hmdb_tests_what_is_marked_two_in_each_split(tmp_path: Path) -> None:
    video = touch(tmp_path / "videos" / "shoot_ball" / "a #1 b.avi")
    lists = tmp_path / "testTrainMulti_7030_splits"
    lists.mkdir()
    (lists / "shoot_ball_test_split1.txt").write_text("a #1 b.avi 2 \nc.avi 1 \nd.avi 0 \n")
    (lists / "shoot_ball_test_split2.txt").write_text("a #1 b.avi 2 \nc.avi 2 \n")
    (lists / "wave_test_split3.txt").write_text("e.avi 2\n")
    test = read_actions("hmdb51", tmp_path)
    assert test.classes == ("shoot ball", "wave")
    assert test.videos == (
        ActionVideo("a #1 b.avi", 0, (1, 2), video),
        ActionVideo("c.avi", 0, (2,), None),
        ActionVideo("e.avi", 1, (3,), None),
    )


def test_ucf_lists_files_with_their_class(tmp_path: Path) -> None:
    video = touch(tmp_path / "UCF-101" / "YoYo" / "v_YoYo_g01_c01.avi")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "testlist01.txt").write_text("YoYo/v_YoYo_g01_c01.avi\n")
    test = read_actions("ucf101", tmp_path)
    assert test.classes == ("Yo Yo",) and test.videos == (ActionVideo("YoYo/v_YoYo_g01_c01.avi", 0, (1,), video),)


def test_a_folder_has_a_class_a_subfolder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for label, name, colour in (
        ("red", "1", "red"),
        ("red", "2", "blue"),
        ("green", "3", "green"),
        ("blue", "4", "blue"),
    ):
        colour_video(data / label / f"{name}.mp4", colour)
    (data / "green" / "broken.mp4").write_bytes(b"no video")
    result = run(SetRequest("folder", data), tmp_path)
    assert (result.items, result.classes, result.missing) == (4, 3, ())
    assert list(result.unreadable) == ["green/broken.mp4"]
    assert result.metrics == {"top1": 75.0, "top5": 100.0, "avg": 87.5}
    assert "splits" not in result.as_dict()["metrics"]


def test_splits_are_measured_apart_and_averaged(tmp_path: Path) -> None:
    data = tmp_path / "data"
    colour_video(data / "right.mp4", "red")
    colour_video(data / "wrong.mp4", "blue")
    (data / "red_test_split1.txt").write_text("right.mp4 2\nwrong.mp4 1\n")
    (data / "red_test_split2.txt").write_text("right.mp4 2\nwrong.mp4 2\n")
    (data / "blue_test_split3.txt").write_text("wrong.mp4 2\n")
    result = run(SetRequest("hmdb51", data), tmp_path)
    tops = {name: own["top1"] for name, own in result.as_dict()["metrics"]["splits"].items()}
    assert tops == {"split1": 100.0, "split2": 50.0, "split3": 100.0}
    assert result.metrics["top1"] == pytest.approx(250 / 3)
    assert {each.model for each in result.published} >= {"MobileViCLIP-Small"}


def test_lists_that_are_not_there_or_of_another_form_are_named(tmp_path: Path) -> None:
    with pytest.raises(VidsearchError, match="No action set is called 'ssv2'; choose one of kinetics400"):
        read_actions("ssv2", tmp_path)
    with pytest.raises(VidsearchError, match=r"holds no val\.csv"):
        read_actions("kinetics400", tmp_path)
    (tmp_path / "val.csv").write_text("id,label\na,b\n")
    with pytest.raises(VidsearchError, match="lists of kinetics400 are not as its authors"):
        read_actions("kinetics400", tmp_path)


def test_internvideo2s_list_serves_every_set(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    given = tmp_path / "given.json"
    given.write_text('[{"video": "a.mp4", "caption": "ride_bike"}, {"video": "b.mp4", "caption": "climb"}]')
    read = read_actions("hmdb51", tmp_path, given)
    assert read.classes == ("climb", "ride bike")
    assert [(video.label, video.path) for video in read.videos] == [(1, tmp_path / "a.mp4"), (0, None)]
