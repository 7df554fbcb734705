"""Which setting fits: a model whose right one is known, since its weights were made for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from json_schemas import follows
from settled_model import make_settled_model
from support import RunVidsearch

from vidsearch.embedding.batch_norms import norm_fits
from vidsearch.embedding.variants import MEAN_STD, RESIZES, Variant, VariantEmbedder, variant_folder
from vidsearch.errors import VidsearchError
from vidsearch.evaluation.settle import CLEAR, Combination, Fingerprint, Settled
from vidsearch.models.folder import BUNDLED_DIR, find_model, open_folder
from vidsearch.training.world.eval_sets import retrieval_set
from vidsearch.training.world.render import render, to_uint8
from vidsearch.training.world.scene import Scene
from vidsearch.training.world.stand_ins import write_msrvtt


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_msrvtt(tmp_path_factory.mktemp("MSRVTT"), 10)


@pytest.fixture(scope="module")
def seen_in_training() -> np.ndarray:
    """Clips of the same world, (N, 8, 64, 64, 3) uint8; none of them is evaluated."""
    meanings = retrieval_set(7, 40).meanings
    times = (np.arange(8, dtype=np.float32) + 0.5) / 8
    scenes = [Scene(meaning, np.random.default_rng(n), aspect=4 / 3) for n, meaning in enumerate(meanings)]
    return np.stack([to_uint8(render(scene, times, 64, 64)) for scene in scenes])


@pytest.mark.parametrize("right", MEAN_STD)
def test_batch_norms_remember_the_right_normalisation(right: str, seen_in_training: np.ndarray, tmp_path: Path) -> None:
    folder = open_folder(make_settled_model(tmp_path, right, seen_in_training[:28]))
    shown = list(seen_in_training[28:])  # others
    distances = {}
    for mean_std in MEAN_STD:
        fits = norm_fits(variant_folder(folder, Variant(mean_std)), shown)
        distances[mean_std] = np.mean([own.mean + own.variance for own in fits])
        assert fits[0].part == "stem" and fits[-1].part == "end"
    best, second, _ = sorted(distances, key=lambda mean_std: distances[mean_std])
    assert best == right
    assert right == "clip" or distances[best] < CLEAR * distances[second]  # CLIP's and ImageNet's differ by a sixth


def test_the_form_of_a_result_is_what_its_schema_says() -> None:
    settings = ({"mean_std": "clip", "tpe": "after", "resize": "squash"}, {"mean_std": "clip", "resize": "bilinear"})
    combinations = tuple(Combination(setting, 40.0, 30.0, 50.0, 45.0) for setting in settings)
    settled = Settled("m", 10, (Fingerprint("clip", 0.1, 0.2, {"stem": 0.3}),), True, combinations)
    assert follows("evaluate-settle", json.dumps(settled.as_dict()))["fits"] == settings[0]


@pytest.mark.slow
def test_the_right_combination_is_found(
    clips: Path, seen_in_training: np.ndarray, tmp_path: Path, command: RunVidsearch
) -> None:
    make_settled_model(tmp_path / "models", "none", seen_in_training)
    words = ("evaluate", "settle", "--data", clips, "--model", "mobileviclip-tiny")
    env = {"VIDSEARCH_MODEL_DIR": str(tmp_path / "models")}
    done = command(*words, "--json", env=env)
    assert done.returncode == 0 and done.stderr == b""
    result = follows("evaluate-settle", done.stdout)
    assert result["fingerprints"][0]["mean_std"] == "none" and result["decided_by_fingerprint"]
    assert result["fits"]["mean_std"] == "none" and len(result["combinations"]) == 8
    best = next(own for own in result["combinations"] if result["fits"].items() <= own.items())
    assert all(best["t2v_r1"] + best["v2t_r1"] >= own["t2v_r1"] + own["v2t_r1"] for own in result["combinations"])
    assert best["t2v_r1"] >= 70  # chance is 10
    lines = command(*words, env=env).stdout.decode().splitlines()
    assert lines[1].startswith("none\t") and lines[4] == "they tell"
    assert lines[-1].startswith("fits best: mean_std none, tpe ")


def test_flags_of_retrieval_say_what_is_done_otherwise(
    clips: Path, seen_in_training: np.ndarray, tmp_path: Path, command: RunVidsearch
) -> None:
    make_settled_model(tmp_path / "models", "clip", seen_in_training)
    words = ("evaluate", "retrieval", "msrvtt-1ka", "--data", clips, "--model", "mobileviclip-tiny", "--json")
    env = {"VIDSEARCH_MODEL_DIR": str(tmp_path / "models")}
    right = json.loads(command(*words, "--mean-std", "clip", "--tpe", "after", "--resize", "bicubic", env=env).stdout)
    wrong = json.loads(command(*words, "--mean-std", "none", env=env).stdout)
    assert right["protocol"].endswith("mean_std clip, tpe after, resize bicubic")
    assert right["metrics"]["t2v"]["mnr"] < wrong["metrics"]["t2v"]["mnr"]
    refused = command(*words, "--mean-std", "imagenette")
    assert refused.returncode == 2 and b"'imagenette' is none of imagenet, clip, none" in refused.stderr


def test_a_variant_changes_what_it_names() -> None:
    nano = find_model("mobileviclip-nano", Path("unused"), "embedding")
    varied = variant_folder(nano, Variant("clip", "before", "centre-crop"))
    assert varied.embedding.preprocessing.mean == MEAN_STD["clip"][0]
    assert varied.embedding.preprocessing.fit == "centre-crop" and varied.config.temporal.tpe_place == "before"
    assert nano.config.temporal.tpe_place == "after"  # the folder itself stays as it is
    with pytest.raises(VidsearchError, match="--resize lanczos is none of squash, centre-crop"):
        variant_folder(nano, Variant(resize="lanczos"))
    answering = open_folder(BUNDLED_DIR / "mobilevideogpt-nano")
    with pytest.raises(VidsearchError, match="mobilevideogpt-nano has no preprocessing"):
        variant_folder(answering, Variant("clip"))


@pytest.mark.parametrize("way", RESIZES)
def test_frames_are_brought_to_the_side(way: str) -> None:
    nano = find_model("mobileviclip-nano", Path("unused"), "embedding")
    embedder = VariantEmbedder(nano, Variant(resize=way), device="cpu")
    side = embedder.frame_spec.side_px
    by_torch = embedder.frame_spec.fit == "as-is"
    frames = np.full((8, 96, 128, 3) if by_torch else (8, side, side, 3), (10, 200, 90), np.uint8)
    prepared = embedder.prepare(frames)
    assert prepared.shape == (8, side, side, 3) and prepared.dtype == np.uint8
    assert (prepared == (10, 200, 90)).all()
    assert embedder.embed(prepared[None]).shape == (1, embedder.dim)
