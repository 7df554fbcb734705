"""Runs: exact resume, the commands, and what they say when something is wrong. Real runs of a small network."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from video_samples import even_times, make_video

from vidsearch.errors import VidsearchError
from vidsearch.evaluation.captions import read_captions
from vidsearch.models.folder import open_folder
from vidsearch.models.mobileviclip.config import CONFIGS, ImageConfig, MobileViCLIPConfig, TextConfig
from vidsearch.records import FrameSpec, WindowSpec
from vidsearch.training.clip_folder import FolderSource
from vidsearch.training.commands import main
from vidsearch.training.contrastive import ContrastiveTask
from vidsearch.training.data import WorldSource
from vidsearch.training.nano import fresh_nano
from vidsearch.training.run_folder import Metrics
from vidsearch.training.settings import TrainSettings, default_settings
from vidsearch.training.trainer import Trainer
from vidsearch.training.world.files import FileFormat, write_video
from vidsearch.training.world.scene import Scene, SceneAttributes
from vidsearch.video.reader import open_reader, read_windows

NANO = CONFIGS["mobileviclip-nano"]
TINY = replace(
    NANO,
    image=ImageConfig(widths=(32, 64, 128, 32), depths=(1, 1, 1, 1), ffn_kernel=3, patch_kernel=3, layer_scale=0.5),
    text=TextConfig(width=32, heads=2, ffn_width=64, layers=1, vocabulary_rows=248, context=40),
    preprocessing=replace(NANO.preprocessing, side_px=32),
    embed_dim=32,
)


def _task(settings: TrainSettings, steps: int = 4) -> ContrastiveTask:
    assert isinstance(TINY, MobileViCLIPConfig)
    network = fresh_nano(TINY, settings.seed, settings.initial_temperature)
    source = WorldSource(TINY.preprocessing, settings.batch, settings.seed)
    held_out = WorldSource(TINY.preprocessing, settings.batch, settings.seed, held_out=True)
    return ContrastiveTask(network, source, settings, steps, 1, validation=held_out)


def _trainer(settings: TrainSettings, steps: int = 4) -> Trainer:
    return Trainer(_task(settings, steps))


@pytest.fixture
def settings() -> TrainSettings:
    return replace(default_settings(NANO.name), batch=8, word_steps=0)


def test_a_resumed_run_equals_an_undisturbed_one_bit_for_bit(tmp_path: Path, settings: TrainSettings) -> None:
    whole = _trainer(settings)
    whole.run(4)
    first = _trainer(settings)
    first.run(2)
    first.save(tmp_path / "checkpoint.pt")
    second = _trainer(replace(settings))
    second.resume(tmp_path / "checkpoint.pt")
    assert second.step == 2
    second.run(4)
    wanted, got = whole.task.state(), second.task.state()
    assert wanted.keys() == got.keys()
    assert all(torch.equal(wanted[key], got[key]) for key in wanted)
    fresh = _trainer(settings).task.state()
    assert not torch.equal(wanted["network.temp"], fresh["network.temp"])  # it did train


def test_a_checkpoint_of_an_earlier_version_is_gone_on_from(tmp_path: Path, settings: TrainSettings) -> None:
    """It held the state of AdamW alone, and no stage."""
    trainer = _trainer(settings)
    trainer.run(1)
    (adamw,) = trainer.optimisers.state_dict()["each"]
    path = tmp_path / "checkpoint.pt"
    torch.save({"parts": trainer.task.state(), "optimiser": adamw, "step": 1, "steps": 4}, path)
    resumed = _trainer(settings)
    resumed.resume(path)
    assert resumed.step == 1
    for trained in (trainer, resumed):
        trained.run(2)
    wanted, got = trainer.task.state(), resumed.task.state()
    assert all(torch.equal(wanted[key], got[key]) for key in wanted)


def test_validating_leaves_no_trace_in_what_is_trained(settings: TrainSettings) -> None:
    plain, validated = _trainer(settings, steps=2), _trainer(settings, steps=2)
    plain.run()
    lines: list[Metrics] = []
    validated.run(every=1, report=lines.append, validate_every=1)
    assert all("validation_loss" in line for line in lines) and len(lines) == 2
    wanted, got = plain.task.state(), validated.task.state()
    assert all(torch.equal(wanted[key], got[key]) for key in wanted)


def test_training_lowers_the_loss_and_reports_lines(settings: TrainSettings) -> None:
    lines: list[Metrics] = []
    trainer = _trainer(settings, steps=12)
    trainer.run(every=4, report=lines.append, validate_every=7)
    assert [line["step"] for line in lines] == [4, 8, 12]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert [line["step"] for line in lines if "validation_loss" in line] == [8, 12]  # after 7 steps, and at the end
    assert lines[-1]["validation_loss"] == pytest.approx(trainer.validation_loss(), abs=5e-5)
    assert all(json.loads(json.dumps(line)) == line for line in lines)


def test_words_first_changes_the_text_encoder_alone_and_always_alike(settings: TrainSettings) -> None:
    taught = [_task(replace(settings, word_steps=3)) for _ in range(2)]
    for task in taught:
        task.pretrain_text()
    one, other = (task.state() for task in taught)
    fresh = _trainer(settings).task.state()
    assert all(torch.equal(one[key], other[key]) for key in one)
    changed = {key for key in fresh if not torch.equal(fresh[key], one[key])}
    assert changed and all(key.startswith(("network.text_encoder.", "reader.")) for key in changed)


def test_a_frozen_text_encoder_stays(settings: TrainSettings) -> None:
    task = _task(replace(settings, train_text=False))
    before = {key: value.clone() for key, value in task.network.text_encoder.state_dict().items()}
    Trainer(task).run(2)
    assert all(torch.equal(before[key], value) for key, value in task.network.text_encoder.state_dict().items())


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, settings: TrainSettings) -> None:
    trainer = _trainer(settings)
    trainer.save(tmp_path / "checkpoint.pt")
    other = _trainer(replace(settings, aux_loss_weight=0.0))
    with pytest.raises(VidsearchError, match=r"checkpoint\.pt is a checkpoint of another network"):
        other.resume(tmp_path / "checkpoint.pt")
    (tmp_path / "checkpoint.pt").write_bytes(b"<html>")
    with pytest.raises(VidsearchError, match="is not a checkpoint of a training run, or it is damaged"):
        other.resume(tmp_path / "checkpoint.pt")
    with pytest.raises(VidsearchError, match="There is no checkpoint"):
        other.resume(tmp_path / "nothing.pt")


def test_the_commands_train_measure_and_ship(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    # At the rate of whole runs, clips are not told apart after so few steps, and what ships must tell them apart.
    words = ["--out", str(run), "--batch", "4", "--every", "4", "--learning-rate", "1e-4"]
    main([*words, "--steps", "8", "--word-steps", "2"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["step"] for line in lines] == [4, 8]
    with pytest.raises(VidsearchError, match="add --resume to go on"):
        main([*words, "--steps", "8"])
    main([*words, "--steps", "9", "--resume"])
    assert [json.loads(line)["step"] for line in capsys.readouterr().out.splitlines()] == [9]
    main([*words, "--steps", "2", "--resume"])
    over = capsys.readouterr()
    assert (over.out, over.err) == ("", f"{run / 'checkpoint.pt'} is at step 9 already; give more --steps to go on.\n")
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 3
    main(["ship", str(run), str(tmp_path / "model")])
    folder = open_folder(tmp_path / "model")
    assert folder.provenance["steps"] == 9 and set(folder.score_levels or {}) == {"high", "medium", "low"}
    asked = ["--clips", "12", "--groups", "1", "--pairs", "1"]
    main(["evaluate", "--model", str(run), *asked])
    of_run = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert of_run["clips"] == 12 and 0 <= of_run["t2v_R@1"] <= 1
    main(["evaluate", "--model", str(tmp_path / "model"), *asked])
    of_model = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert of_model["level_high"] == pytest.approx(of_run["level_high"], abs=0.01)  # float16 against float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "mobileclip-s0"], "No model that looks at clips is called 'mobileclip-s0'"),
        (["--model", "mobileviclip-small", "--steps", "1"], "give a model folder with --weights"),
        (["--batch", "1"], "--batch of at least 2"),
        (["--data", "nowhere"], "nowhere has neither captions.jsonl nor captions.csv"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(VidsearchError, match=message):
        main(["--out", str(tmp_path / "run"), *arguments])


def test_training_on_the_world_needs_numpy_and_torch_alone(tmp_path: Path) -> None:
    code = (
        "import sys, torch; torch.set_num_threads(1); from vidsearch.training.commands import main\n"
        f"main(['--out', {str(tmp_path)!r}, '--steps', '1', '--batch', '2', '--word-steps', '1'])\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & set(sys.argv[1:])))\n"
    )
    others = ["av", "decord", "onnx", "onnxruntime", "safetensors", "ftfy", "sqlite_utils", "hnswlib", "rich", "typer"]
    done = subprocess.run([sys.executable, "-c", code, *others], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four clips with captions; one clip has two."""
    folder = tmp_path_factory.mktemp("clips")
    rows = []
    for number, motion in enumerate(("left", "right", "up", "down")):
        scene = Scene(SceneAttributes("square", "red", "plain", motion, size="large"), np.random.default_rng(number))
        write_video(folder / f"{motion}.mp4", [(scene, 1.5)], FileFormat(64, 48, 12))
        rows.append({"file": f"{motion}.mp4", "caption": f"a red square moves {motion}"})
    rows.append({"file": "left.mp4", "caption": "a red box slides to the left"})
    (folder / "captions.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return folder


def test_a_folder_of_clips_gives_batches(clips: Path) -> None:
    rows = read_captions(clips)
    assert [row.number for row in rows] == [0, 1, 2, 3, 0]
    source = FolderSource(rows, TINY.preprocessing, TrainSettings("any", batch=5))
    batch, again = source.batch(3), source.batch(3)
    assert batch.clips.shape == (5, 8, 3, 32, 32)
    assert torch.equal(batch.clips, again.clips) and torch.equal(batch.ids, again.ids)
    assert int(batch.positives.sum()) == 5 + 2  # both captions of left.mp4 are true of it
    assert not torch.equal(batch.clips, source.batch(4).clips)


def test_the_pictures_of_a_clip_are_spread_over_a_video_that_begins_late(tmp_path: Path) -> None:
    make_video(tmp_path / "late.mkv", even_times(256, fps=25, start_s=30))
    (tmp_path / "captions.csv").write_text("file,caption\nlate.mkv,a number\n")
    source = FolderSource(read_captions(tmp_path), TINY.preprocessing, TrainSettings("any", batch=1))
    [clip] = source.batch(0).clips
    assert len({picture.numpy().tobytes() for picture in clip}) == len(
        clip
    )  # behind the end they would be all the last


def test_a_folder_trains_the_small_model_from_the_command(clips: Path, tmp_path: Path) -> None:
    main(["--data", str(clips), "--out", str(tmp_path / "run"), "--batch", "4", "--epochs", "2", "--every", "1"])
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_csv_of_captions_and_its_mistakes(clips: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.csv"
    good.write_text("file,caption\nup.mp4,going up\n")
    assert [(row.path.name, row.caption) for row in read_captions(clips, good)] == [("up.mp4", "going up")]
    for text, message in (
        ("file,caption\n", "holds no captions"),
        ("file,caption\nsideways.mp4,odd\n", "row 1: there is no file"),
        ("name,text\nup.mp4,up\n", "needs the columns file and caption"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(VidsearchError, match=message):
            read_captions(clips, tmp_path / "bad.csv")
    (tmp_path / "bad.jsonl").write_text("{")
    with pytest.raises(VidsearchError, match="line 1 is not JSON"):
        read_captions(clips, tmp_path / "bad.jsonl")
    with pytest.raises(VidsearchError, match="A batch of 16 needs as many captions"):
        FolderSource(read_captions(clips, good), TINY.preprocessing, TrainSettings("any", batch=16))


def test_a_clip_that_cannot_be_decoded_is_reported_and_replaced(
    clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"not a video at all")
    (tmp_path / "up.mp4").write_bytes((clips / "up.mp4").read_bytes())
    (tmp_path / "captions.csv").write_text("file,caption\nbroken.mp4,nothing\nup.mp4,going up\n")
    batch = FolderSource(read_captions(tmp_path), TINY.preprocessing, TrainSettings("any", batch=2)).batch(0)
    assert bool(batch.positives.all())  # the good clip stands in for the broken one
    assert "broken.mp4" in caplog.text


def test_a_written_file_shows_the_scene(tmp_path: Path) -> None:
    scene = Scene(SceneAttributes("circle", "red", "plain", "left", size="large"), np.random.default_rng(0))
    write_video(tmp_path / "clip.mp4", [(scene, 2.0)], FileFormat(160, 120, 24))
    with open_reader(tmp_path / "clip.mp4", FrameSpec(64)) as reader:
        assert reader.facts.duration_s == pytest.approx(2.0, abs=1e-6) and reader.facts.frames == 48
        (window,) = read_windows(reader, WindowSpec())
    red = (window.frames[..., 0] > 180) & (window.frames[..., 1] < 90)
    centres = [float(np.flatnonzero(frame.any(axis=0)).mean()) for frame in red]
    assert all(later < earlier for earlier, later in pairwise(centres))


def test_a_command_that_there_is_not_is_told() -> None:
    with pytest.raises(VidsearchError, match="There is no vidsearch train nope; choose one of run, evaluate"):
        main(["nope"])
