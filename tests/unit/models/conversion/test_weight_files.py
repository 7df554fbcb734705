"""Weights in files, shards and folders become one mapping; an index may not lead out of its folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from published import write_weights
from safetensors.torch import save_file

from vidsearch.errors import ModelError
from vidsearch.models.conversion.weight_files import find_weights

TENSORS = {f"layer{number}.weight": torch.full((2, 3), float(number)) for number in range(7)}
INDEX = "model.safetensors.index.json"
SECOND = "model-00002-of-00003.safetensors"


def test_shards_are_one_state_dict(tmp_path: Path) -> None:
    write_weights(tmp_path, TENSORS, shards=3)
    (found,) = find_weights(tmp_path)
    assert found.path == tmp_path / INDEX
    assert [file.name for file in found.files] == [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    assert set(found.tensors) == set(TENSORS)
    assert all(torch.equal(found.tensors[key], tensor) for key, tensor in TENSORS.items())


def test_pickles_may_be_shards_too(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "pytorch_model-00001-of-00001.bin")
    index = {"weight_map": dict.fromkeys(TENSORS, "pytorch_model-00001-of-00001.bin")}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    (found,) = find_weights(tmp_path)
    assert set(found.tensors) == set(TENSORS)


def test_folders_are_walked_but_for_hidden_ones_and_the_trainers_files(tmp_path: Path) -> None:
    for place in ("hub/models--a/snapshots/1", "b", ".cache/partial", "1/2/3/4/5"):
        (tmp_path / place).mkdir(parents=True)
        save_file(TENSORS, tmp_path / place / "model.safetensors")
    (tmp_path / "b" / "training_args.bin").write_bytes(b"a pickle of something else")
    (tmp_path / "b" / "rng_state_0.pth").write_bytes(b"")
    os.mkfifo(tmp_path / "b" / "pipe.bin")
    found = [str(weights.path.relative_to(tmp_path)) for weights in find_weights(tmp_path)]
    assert found == ["b/model.safetensors", "hub/models--a/snapshots/1/model.safetensors"]


def test_the_wrapper_of_a_pickle_is_taken_off(tmp_path: Path) -> None:
    torch.save({"module": {f"module.{key}": tensor for key, tensor in TENSORS.items()}, "step": 3}, tmp_path / "a.pth")
    (found,) = find_weights(tmp_path)
    assert set(found.tensors) == set(TENSORS)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_weights(tmp_path, TENSORS, shards=3)
    (tmp_path / SECOND).unlink()
    with pytest.raises(ModelError, match=rf"names shards that are missing \({SECOND}\); get them from the publisher"):
        find_weights(tmp_path)


def test_a_shard_without_an_index_is_named(tmp_path: Path) -> None:
    write_weights(tmp_path, TENSORS, shards=3)
    (tmp_path / INDEX).unlink()
    with pytest.raises(ModelError, match=r"00001-of-00003\.safetensors is one of 3 shards and their index is missing"):
        find_weights(tmp_path)


def test_nothing_outside_the_folder_is_opened(tmp_path: Path) -> None:
    """The file that the index points to is a good one and would be read."""
    folder = tmp_path / "model"
    folder.mkdir()
    save_file(TENSORS, tmp_path / "other.safetensors")
    for name in ("../other.safetensors", str(tmp_path / "other.safetensors"), "x/../../other.safetensors"):
        (folder / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(TENSORS, name)}))
        with pytest.raises(ModelError, match="names files that are not weight files beside it"):
            find_weights(folder)


def test_keys_that_index_and_shards_do_not_agree_on_are_named(tmp_path: Path) -> None:
    write_weights(tmp_path, TENSORS, shards=3)
    index = json.loads((tmp_path / INDEX).read_text())
    del index["weight_map"]["layer1.weight"]
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(ModelError, match=rf"{SECOND} holds keys that .* does not place there \(layer1\.weight\)"):
        find_weights(tmp_path)
    index["weight_map"] |= {"layer1.weight": SECOND, "a\nb": SECOND}
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"names keys that no shard holds \('a\\nb'\)"):
        find_weights(tmp_path)


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no weight file \(\.pt, "):
        find_weights(tmp_path)
