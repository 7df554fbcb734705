"""The published files of Mobile-VideoGPT, in every layout, become one network; what is not that model is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from published import (
    SMALL,
    clip_tensors,
    config_fields,
    language_tensors,
    mamba_tensors,
    publish,
    seeded_videogpt,
    write_weights,
)
from safetensors.torch import save_file
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models.conversion.fit_videogpt import FittedParts, fit_parts
from vidsearch.models.mobilevideogpt.config import CONFIGS
from vidsearch.models.mobilevideogpt.load import named_tensors

NAME = "mobilevideogpt-0.5b"
LANGUAGE, CLIP = "Mobile-VideoGPT-0.5B/model.safetensors", "clip-vit-base-patch16/model.safetensors"
MAMBA = "VideoMamba/videomamba_m16_25M_f8_res224.pth"
NETWORK = seeded_videogpt()
LAYERS = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture(autouse=True)
def small_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIGS, NAME, SMALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return publish(tmp_path / "published", NETWORK)


def assert_whole(fitted: FittedParts) -> None:
    """Every tensor of the network is there, with its value in the precision of its file."""
    wanted = named_tensors(NETWORK)
    assert list(fitted.tensors) == list(wanted)
    for key, tensor in wanted.items():
        half = not key.startswith(("model.vision_tower.", "vision_model."))
        assert torch.equal(fitted.tensors[key], tensor.half() if half else tensor), key


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("pickled", [False, True])
def test_every_published_layout_gives_the_whole_network(shards: int, pickled: bool, tmp_path: Path) -> None:
    fitted = fit_parts(NAME, publish(tmp_path / "published", NETWORK, shards=shards, pickled=pickled))
    assert_whole(fitted)
    assert fitted.config == SMALL
    assert fitted.repository == tmp_path / "published" / "Mobile-VideoGPT-0.5B"
    assert len(fitted.files) == shards + 2
    assert [note for note in fitted.notes if "set aside" not in note] == [
        "the video encoder is that of videomamba_m16_25M_f8_res224.pth; "
        f"the copy in model.safetensors{'.index.json' if shards > 1 else ''} differs by up to 0.0e+00"
    ]


@pytest.mark.parametrize("wrap", [lambda tensors: tensors, lambda tensors: {"module": tensors}])
def test_the_video_encoder_is_found_under_each_known_wrapper(
    wrap: Callable[[dict[str, Tensor]], dict[str, Any]], folder: Path
) -> None:
    torch.save(wrap(mamba_tensors(NETWORK)), folder / MAMBA)
    assert_whole(fit_parts(NAME, folder))


def test_all_files_may_lie_in_one_folder(folder: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    shutil.copytree(folder / "Mobile-VideoGPT-0.5B", flat)
    torch.save(clip_tensors(NETWORK), flat / "pytorch_model.bin")
    shutil.copy(folder / MAMBA, flat)
    assert_whole(fit_parts(NAME, flat))


def test_what_is_set_aside_is_said(folder: Path) -> None:
    notes = fit_parts(NAME, folder).notes
    assert [note for note in notes if note.startswith("set aside")] == [
        "set aside from model.safetensors, of no use here: "
        "logit_scale, text_model (2), text_projection, vision_model.embeddings.position_ids, visual_projection",
        "set aside from videomamba_m16_25M_f8_res224.pth, of no use here: "
        "temp, text_encoder (2), vision_encoder.pool_norm.weight",
    ]


def test_the_file_of_the_video_encoder_counts_and_not_the_copy(folder: Path) -> None:
    tensors = language_tensors(NETWORK)
    tensors["model.vision_tower.vision_encoder.norm.weight"] += 0.25
    write_weights(folder / "Mobile-VideoGPT-0.5B", tensors)
    fitted = fit_parts(NAME, folder)
    assert_whole(fitted)
    assert any("differs by up to 2.5e-01" in note for note in fitted.notes)


def test_without_its_file_the_copy_of_the_video_encoder_counts(folder: Path) -> None:
    (folder / MAMBA).unlink()
    fitted = fit_parts(NAME, folder)
    assert_whole(fitted)
    assert "the video encoder is the copy in model.safetensors" in fitted.notes


def test_a_language_model_without_copies_takes_the_files_of_both_towers(folder: Path) -> None:
    tensors = {key: t for key, t in language_tensors(NETWORK).items() if ".vision_tower." not in key}
    write_weights(folder / "Mobile-VideoGPT-0.5B", tensors)
    assert_whole(fit_parts(NAME, folder))
    (folder / MAMBA).unlink()
    with pytest.raises(ModelError, match=r"does not bring the video encoder .*; get videomamba_m16_25M_f8_res224\.pth"):
        fit_parts(NAME, folder)


def test_a_copy_of_the_image_tower_serves_where_clip_is_missing(folder: Path) -> None:
    copy = {f"model.image_vision_tower.tower.{key}": t for key, t in NETWORK.image_tower.state_dict().items()}
    write_weights(folder / "Mobile-VideoGPT-0.5B", {**language_tensors(NETWORK), **copy})
    assert_whole(fit_parts(NAME, folder))
    (folder / CLIP).unlink()
    assert_whole(fit_parts(NAME, folder))


@pytest.mark.parametrize("copy", [True, False])
def test_the_head_of_the_pretraining_may_be_missing_because_nothing_runs_it(copy: bool, folder: Path) -> None:
    head = "vision_encoder.clip_decoder."
    torch.save({key: t for key, t in mamba_tensors(NETWORK).items() if not key.startswith(head)}, folder / MAMBA)
    if not copy:
        tensors = {key: t for key, t in language_tensors(NETWORK).items() if ".vision_tower." not in key}
        write_weights(folder / "Mobile-VideoGPT-0.5B", tensors)
    fitted = fit_parts(NAME, folder)
    bias = fitted.tensors["model.vision_tower.vision_encoder.clip_decoder.0.head.bias"]
    assert bool(bias.any()) == copy
    assert any(f"has no {head}*, which is never run" in note for note in fitted.notes)


def test_the_same_weights_as_safetensors_and_as_a_pickle_are_one_part(folder: Path) -> None:
    torch.save(language_tensors(NETWORK), folder / "Mobile-VideoGPT-0.5B" / "pytorch_model.bin")
    torch.save({"learning rate": 1.0}, folder / "Mobile-VideoGPT-0.5B" / "training_args.bin")
    fitted = fit_parts(NAME, folder)
    assert_whole(fitted)
    assert folder / LANGUAGE in fitted.files


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_tied_head_that_is_stored_is_taken_out(dtype: torch.dtype, folder: Path) -> None:
    tensors = language_tensors(NETWORK)
    write_weights(
        folder / "Mobile-VideoGPT-0.5B",
        {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"].to(dtype, copy=True)},
    )
    fitted = fit_parts(NAME, folder)
    assert_whole(fitted)
    assert "lm_head.weight is stored and equals model.embed_tokens.weight: one of the two is kept" in fitted.notes


def test_a_head_of_its_own_is_kept_where_the_config_says_so(folder: Path) -> None:
    head = {"lm_head.weight": torch.randn(272, 24)}
    write_weights(folder / "Mobile-VideoGPT-0.5B", {**language_tensors(NETWORK), **head})
    with pytest.raises(ModelError, match=r"says that the output head is tied, and lm_head\.weight differs"):
        fit_parts(NAME, folder)
    rewrite_config(folder, tie_word_embeddings=False)
    fitted = fit_parts(NAME, folder)
    assert not fitted.config.language_model.tie_word_embeddings
    assert torch.equal(fitted.tensors["lm_head.weight"], head["lm_head.weight"])


def test_the_vocabulary_has_the_rows_of_the_table(folder: Path) -> None:
    tensors = language_tensors(NETWORK)
    tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"][:265].clone()
    write_weights(folder / "Mobile-VideoGPT-0.5B", tensors)
    fitted = fit_parts(NAME, folder)
    assert fitted.config.language_model == replace(SMALL.language_model, vocab_size=265)
    assert "the vocabulary has 265 rows, not 272" in fitted.notes


def test_constants_come_from_the_published_config(folder: Path) -> None:
    rewrite_config(folder, rope_theta=500_000, rms_norm_eps=1e-5, max_position_embeddings=4096)
    language = fit_parts(NAME, folder).config.language_model
    assert (language.rope_theta, language.rms_norm_eps, language.max_position_embeddings) == (500_000.0, 1e-5, 4096)


# Refusals


def rewrite_config(folder: Path, **values: object) -> None:
    fields = {**config_fields(), **values}
    (folder / "Mobile-VideoGPT-0.5B" / "config.json").write_text(json.dumps(fields))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"hidden_size": 32}, "is of another network: hidden_size is 32, and mobilevideogpt-0.5b has 24"),
        ({"num_attention_heads": None}, "is of another network: num_attention_heads is None"),
        ({"mm_use_im_start_end": True}, "has mm_use_im_start_end True, and mobilevideogpt-0.5b is built for False"),
        ({"mm_vision_select_layer": -1}, "has mm_vision_select_layer -1, and .* is built for -2"),
        ({"rope_scaling": {"type": "yarn"}}, "has rope_scaling"),
        ({"mm_vision_tower": "openai/clip"}, "has mm_vision_tower 'openai/clip', and .* is built for VideoMamba"),
        ({"rope_theta": "1e6"}, "has rope_theta '1e6', which is not a positive number"),
        ({"rms_norm_eps": 0}, "has rms_norm_eps 0, which is not a positive number"),
        ({"max_position_embeddings": True}, "has max_position_embeddings True"),
        ({"tie_word_embeddings": False}, "says that the output head is not tied, and there is no lm_head.weight"),
    ],
)
def test_a_config_of_another_network_is_refused(values: dict[str, object], words: str, folder: Path) -> None:
    rewrite_config(folder, **values)
    with pytest.raises(ModelError, match=words):
        fit_parts(NAME, folder)


def test_the_files_of_the_other_size_are_told_by_name(folder: Path) -> None:
    other = CONFIGS["mobilevideogpt-1.5b"]
    (folder / "Mobile-VideoGPT-0.5B" / "config.json").write_text(json.dumps(config_fields(other)))
    with pytest.raises(ModelError, match=r"config\.json is that of mobilevideogpt-1\.5b, not of mobilevideogpt-0\.5b"):
        fit_parts(NAME, folder)


def without(tensors: dict[str, Tensor], key: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name != key}


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (without(language_tensors(NETWORK), LAYERS), rf"missing: {LAYERS} \(32, 24\)"),
        ({**language_tensors(NETWORK), "model.more": torch.ones(2)}, r"not of this network: model\.more \(2,\)"),
        ({**language_tensors(NETWORK), LAYERS: torch.ones(24, 32)}, rf"expected shape \(32, 24\): {LAYERS} \(24, 32\)"),
        (
            {**language_tensors(NETWORK), LAYERS: torch.ones(32, 24, dtype=torch.int8)},
            f"{LAYERS} as int8, so it is quan",
        ),
        (
            {**language_tensors(NETWORK), "model.embed_tokens.weight": torch.ones(300, 24)},
            "has 300 rows, not between 1 and 272",
        ),
        ({**language_tensors(NETWORK), "model.embed_tokens.weight": torch.tensor(1.0)}, "has 0 rows"),
        (
            {**language_tensors(NETWORK), "model.vision_tower.vision_encoder.more": torch.ones(2)},
            r"not of this network: vision_encoder\.more \(2,\)",
        ),
        (
            {**language_tensors(NETWORK), "model.x.vision_encoder.norm.weight": torch.ones(16)},
            "holds two copies of a tower",
        ),
    ],
)
def test_a_language_model_with_other_keys_is_refused(tensors: dict[str, Tensor], words: str, folder: Path) -> None:
    write_weights(folder / "Mobile-VideoGPT-0.5B", tensors)
    with pytest.raises(ModelError, match=words):
        fit_parts(NAME, folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vision_model.more": torch.ones(1)}, r"not of this network: vision_model\.more \(1,\)"),
        ({"other": torch.ones(1)}, r"not of this network: other \(1,\)"),
        ({"vision_model.post_layernorm.bias": torch.ones(31)}, r"expected shape \(32,\)"),
        ({"vision_model.post_layernorm.bias": torch.ones(32).int()}, "as int32, so it is quantised"),
    ],
)
def test_another_image_tower_is_refused(changes: dict[str, Tensor], words: str, folder: Path) -> None:
    save_file({**clip_tensors(NETWORK), **changes}, folder / CLIP)
    with pytest.raises(ModelError, match=words):
        fit_parts(NAME, folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vision_encoder.more": torch.ones(1)}, r"not of this network: vision_encoder\.more \(1,\)"),
        ({"vision_encoder.temporal_pos_embedding": torch.ones(1, 16, 16)}, r"expected shape \(1, 8, 16\)"),
        ({"vision_encoder.clip_decoder.0.head.more": torch.ones(1)}, "not of this network"),
    ],
)
def test_another_video_encoder_is_refused(changes: dict[str, Tensor], words: str, folder: Path) -> None:
    torch.save({**mamba_tensors(NETWORK), **changes}, folder / MAMBA)
    with pytest.raises(ModelError, match=words):
        fit_parts(NAME, folder)


def test_a_missing_part_is_named_with_its_file(folder: Path) -> None:
    (folder / CLIP).unlink()
    with pytest.raises(ModelError, match=r"does not bring the image tower .* openai/clip-vit-base-patch16 too"):
        fit_parts(NAME, folder)
    (folder / LANGUAGE).unlink()
    with pytest.raises(ModelError, match=r"has no language model; get model\.safetensors of Mobile-VideoGPT"):
        fit_parts(NAME, folder)
    shutil.rmtree(folder / "VideoMamba")
    with pytest.raises(ModelError, match="holds no weight file"):
        fit_parts(NAME, folder)


def test_a_part_that_lies_there_twice_or_belongs_to_nothing_is_refused(folder: Path) -> None:
    save_file({"base_model.model.lora_A.weight": torch.ones(2, 2)}, folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors holds no part of Mobile-VideoGPT .*base_model"):
        fit_parts(NAME, folder)
    (folder / "adapter_model.safetensors").unlink()
    shutil.copytree(folder / "clip-vit-base-patch16", folder / "other")
    with pytest.raises(ModelError, match=r"other/model\.safetensors both hold the image tower"):
        fit_parts(NAME, folder)


def test_a_part_that_two_names_lead_to_is_there_once(folder: Path) -> None:
    (folder / "snapshot").mkdir()
    (folder / "snapshot" / "model.safetensors").symlink_to(folder / CLIP)
    assert_whole(fit_parts(NAME, folder))


def test_the_config_must_lie_beside_the_language_model(folder: Path) -> None:
    (folder / "Mobile-VideoGPT-0.5B" / "config.json").unlink()
    with pytest.raises(ModelError, match=r"there is no file .*Mobile-VideoGPT-0\.5B/config\.json"):
        fit_parts(NAME, folder)
