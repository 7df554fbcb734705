"""Damaged and hostile files among those of a model that answers: none installs, none runs anything, each is named."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile import Payload
from published import SMALL, clip_tensors, config_fields, mamba_tensors, publish, seeded_videogpt
from safetensors.torch import save as as_safetensors
from safetensors.torch import save_file
from seeded import TEXT_MCT, seeded, small_config
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models.conversion.install import install
from vidsearch.models.mobilevideogpt.config import CONFIGS

NAME = "mobilevideogpt-0.5b"
NETWORK = seeded_videogpt()
REPOSITORY, CLIP, MAMBA = "Mobile-VideoGPT-0.5B", "clip-vit-base-patch16", "VideoMamba"
INDEX = f"{REPOSITORY}/model.safetensors.index.json"
MAMBA_FILE = f"{MAMBA}/videomamba_m16_25M_f8_res224.pth"
CLIP_FILE = f"{CLIP}/pytorch_model.bin"
SHARD = f"{REPOSITORY}/model-00002-of-00003.safetensors"
FILES = (INDEX, SHARD, CLIP_FILE, MAMBA_FILE, *(f"{REPOSITORY}/{name}" for name in ("config.json", "tokenizer.json")))
CANARY = "canary-of-test-hostile-parts"
PAGE = b"<!DOCTYPE html><html><body>Quota exceeded</body></html>"

Spoilt = Iterator[tuple[str, Callable[[Path], object]]]  # what is done, and the doing of it to a published folder


@pytest.fixture(autouse=True)
def small_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIGS, NAME, SMALL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published files: the language model in three shards, CLIP and VideoMamba as pickles. Do not change."""
    return publish(tmp_path_factory.mktemp("whole") / "published", NETWORK, shards=3, pickled=True)


def put(file: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_bytes(content)


def cut(rng: np.random.Generator) -> Spoilt:
    """Every file ends early."""

    def cutting(file: str, part: float) -> Callable[[Path], object]:
        return lambda folder: os.truncate(folder / file, int(part * ((folder / file).stat().st_size - 2)))

    for file in FILES:
        for part in rng.uniform(0, 1, 8):
            yield f"{file} cut at {part:.3f}", cutting(file, part)


def something_else(rng: np.random.Generator) -> Spoilt:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 40, 1 << 20], "data_offsets": [0, 1 << 62]}}).encode()
    for file in FILES:
        yield f"{file} is empty", put(file, b"")
        yield f"{file} is a page", put(file, PAGE)
        yield f"{file} is a pointer", put(file, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        yield f"{file} is noise", put(file, rng.bytes(1000))
        yield f"{file} is a bomb", put(file, packed.getvalue())
        yield f"{file} has a header of an exabyte", put(file, len(header).to_bytes(8, "little") + header)
        yield f"{file} is nested without end", put(file, b"[" * 200_000)
        yield f"{file} is a list", put(file, b"[1, 2]")
        if file != MAMBA_FILE:  # without it, the copy among the language model's weights serves
            yield f"{file} is missing", lambda folder, file=file: (folder / file).unlink()
            yield f"{file} is a folder", lambda folder, file=file: ((folder / file).unlink(), (folder / file).mkdir())
        yield (
            f"{file} leads nowhere",
            lambda folder, file=file: ((folder / file).unlink(), (folder / file).symlink_to("nowhere")),
        )


def changed_index(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text())
        change(index)
        (folder / INDEX).write_text(json.dumps(index))

    return spoil


def every_place(value: object) -> Callable[[Path], object]:
    """One key of the index is said to lie there."""
    return changed_index(lambda index: index["weight_map"].update({"model.norm.weight": value}))


def indexes(rng: np.random.Generator) -> Spoilt:
    """Indexes that lie, or that lead out of their folder."""
    outside = [
        "../clip-vit-base-patch16/pytorch_model.bin",
        "../../secret.safetensors",
        "/etc/passwd",
        "/etc/passwd.safetensors",
        "..",
        ".",
        "",
        "..\\secret.safetensors",
        "C:\\secret.safetensors",
        "model.safetensors\0.bin",
        "sub/model.safetensors",
        ".hidden.safetensors",
        "a" * 5000 + ".safetensors",
        "config.json",
        "~/model.safetensors",
        "model\n.safetensors",
        "file:model.safetensors",
    ]
    for name in outside:
        yield f"a shard {name[:40]!r}", every_place(name)
    for value in (None, 7, ["model.safetensors"], {"a": 1}, True):
        yield f"a shard {value!r}", every_place(value)
    yield "a shard that is not there", every_place("model-00004-of-00003.safetensors")
    yield "a key in another shard", every_place("model-00003-of-00003.safetensors")
    yield (
        "a key that no shard has",
        changed_index(lambda index: index["weight_map"].update({"model.more": "model-00001-of-00003.safetensors"})),
    )
    for key in rng.choice(sorted(NETWORK.state_dict()), 5, replace=False):
        yield f"without {key}", changed_index(lambda index, key=str(key): index["weight_map"].pop(key))
    for places in ({}, [], None, "model.safetensors", 3):
        yield f"a map {places!r}", changed_index(lambda index, places=places: index.update(weight_map=places))
    yield "no map", changed_index(lambda index: index.pop("weight_map"))


def flipped(rng: np.random.Generator) -> Spoilt:
    """One bit of what describes the tensors is another: of a shard's header, or of a pickle's entries."""
    shard = as_safetensors({"model.norm.weight": torch.ones(24)})
    header_bytes = len(shard[: 8 + int.from_bytes(shard[:8], "little")].rstrip())  # spaces only fill it up
    for at in rng.choice(header_bytes, 15, replace=False):
        yield f"a shard flipped at {at}", put(SHARD, with_flip(shard, int(at), int(rng.integers(8))))
    for file, content in ((CLIP_FILE, clip_tensors(NETWORK)), (MAMBA_FILE, {"model": mamba_tensors(NETWORK)})):
        whole = as_zip(content)
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            entries = [entry for entry in archive.infolist() if entry.file_size > 0]
        for number in rng.integers(len(entries), size=8):
            entry = entries[int(number)]
            name_bytes, extra_bytes = struct.unpack_from("<HH", whole, entry.header_offset + 26)
            start = entry.header_offset + 30 + name_bytes + extra_bytes
            at = start + int(rng.integers(entry.file_size))
            yield f"{entry.filename} flipped at {at}", put(file, with_flip(whole, at, int(rng.integers(8))))


def with_flip(whole: bytes, at: int, bit: int) -> bytes:
    data = bytearray(whole)
    data[at] ^= 1 << bit
    return bytes(data)


def other_tensors(rng: np.random.Generator) -> Spoilt:
    """Keys renamed, left out, turned, of a terabyte, not finite, quantised."""
    for file, tensors, wrap in (
        (CLIP_FILE, clip_tensors(NETWORK), lambda held: held),
        (MAMBA_FILE, mamba_tensors(NETWORK), lambda held: {"module": held}),
    ):
        own = [key for key in sorted(tensors) if key.startswith(("vision_model.", "vision_encoder."))]
        used = [key for key in own if not any(word in key for word in ("position_ids", "pool_norm", "clip_decoder"))]
        matrices = [key for key in used if tensors[key].ndim > 1 and tensors[key].shape[0] != tensors[key].shape[1]]
        changes = {
            "renamed": lambda held, key: {**without(held, key), f"{key}_": held[key]},
            "left out": without,
            "longer": lambda held, key: {**held, key: torch.cat((held[key], held[key]))},
            "not finite": lambda held, key: {**held, key: torch.full_like(held[key], float("nan"))},
            "quantised": lambda held, key: {**held, key: held[key].to(torch.int8)},
            "of a terabyte": lambda held, key: {**held, key: torch.zeros(1).expand(10**6, 10**6)},
        }
        for what, change in changes.items():
            for key in rng.choice(used, 3, replace=False):
                yield f"{key} {what}", put(file, as_zip(wrap(change(tensors, str(key)))))
        for key in rng.choice(matrices, 3, replace=False):
            turned = tensors[str(key)].transpose(0, 1).contiguous()
            yield f"{key} turned", put(file, as_zip(wrap({**tensors, str(key): turned})))


def swapped(rng: np.random.Generator) -> Spoilt:
    """Files of other models, and files in each other's place."""
    other = torch.randn(3, 3)
    yield "CLIP for VideoMamba", put(MAMBA_FILE, as_zip(clip_tensors(NETWORK)))
    yield "VideoMamba for CLIP", put(CLIP_FILE, as_zip(mamba_tensors(NETWORK)))
    yield (
        "MobileViCLIP for VideoMamba",
        put(MAMBA_FILE, as_zip({"module": seeded(small_config("mobileviclip-tiny", TEXT_MCT)).state_dict()})),
    )
    yield "CLIP's other half", put(CLIP_FILE, as_zip({"text_model.final_layer_norm.weight": other}))
    yield "numbers for CLIP", put(CLIP_FILE, as_zip({"a": 1.0}))
    yield "a list for VideoMamba", put(MAMBA_FILE, as_zip([other]))
    yield "nothing under model", put(MAMBA_FILE, as_zip({"model": {}}))
    yield "an adapter beside the weights", put("adapter_model.bin", as_zip({"base_model.model.lora_A": other}))
    yield "one projector", put("mm_projector.bin", as_zip({"model.mm_projector.mlp.mlp.0.weight": other}))
    yield (
        "the first shard for the second",
        lambda folder: shutil.copy(folder / SHARD.replace("00002", "00001"), folder / SHARD),
    )
    yield (
        "a language model without eyes",
        lambda folder: write_language(
            folder, {key: t for key, t in NETWORK.state_dict().items() if "projector" not in key}
        ),
    )
    yield (
        "a smaller vocabulary than its tokens",
        lambda folder: write_language(
            folder, {**NETWORK.state_dict(), "model.embed_tokens.weight": torch.randn(100, 24)}
        ),
    )
    yield (
        "a vocabulary of a terabyte",
        lambda folder: (
            (folder / INDEX).unlink(),
            [shard.unlink() for shard in (folder / REPOSITORY).glob("*.safetensors")],
            put(
                f"{REPOSITORY}/pytorch_model.bin",
                as_zip({**NETWORK.state_dict(), "model.embed_tokens.weight": torch.zeros(1).expand(10**9, 24)}),
            )(folder),
        ),
    )
    yield (
        "a tokenizer without marks",
        put(
            f"{REPOSITORY}/tokenizer.json",
            b'{"version":"1.0","added_tokens":[],"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}}',
        ),
    )
    for fields in ({"hidden_size": 10**30}, {"num_hidden_layers": "2"}, {"vocab_size": {}, "hidden_size": []}):
        config = json.dumps({**config_fields(), **fields}).encode()
        yield f"a config with {fields}", put(f"{REPOSITORY}/config.json", config)


def payloads(rng: np.random.Generator) -> Spoilt:
    calls = [
        Payload(os.system, f"touch {CANARY}"),
        Payload(exec, f"import os; os.mkdir({CANARY!r})"),
        Payload(open, CANARY, "w"),
    ]
    for number, call in enumerate(calls):
        for file, tensors in ((CLIP_FILE, clip_tensors(NETWORK)), (MAMBA_FILE, mamba_tensors(NETWORK))):
            for where, content in (
                ("alone", call),
                ("as a value", {**tensors, "more": call}),
                ("as a wrapper", {"model": call}),
                ("beside the weights", {"model": tensors, "epoch": call}),
            ):
                yield f"pickled call {number} {where} in {file}", put(file, pickle.dumps(content, protocol=2))
                yield f"call {number} {where} in a zip in {file}", put(file, as_zip(content))
        yield f"call {number} in a shard", shard_of_pickle(as_zip({"model.norm.weight": call}))


def shard_of_pickle(content: bytes) -> Callable[[Path], object]:
    """An index may name pickles: one that is hostile."""

    def spoil(folder: Path) -> None:
        (folder / REPOSITORY / "hostile.bin").write_bytes(content)
        every_place("hostile.bin")(folder)

    return spoil


def as_zip(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def without(tensors: dict[str, Tensor], key: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name != key}


def write_language(folder: Path, tensors: dict[str, Tensor]) -> None:
    """One file in the place of the shards."""
    (folder / INDEX).unlink()
    for shard in (folder / REPOSITORY).glob("*.safetensors"):
        shard.unlink()
    save_file(tensors, folder / REPOSITORY / "model.safetensors")


RULES = (cut, something_else, indexes, flipped, other_tensors, swapped, payloads)


def cases(rule: Callable[[np.random.Generator], Spoilt]) -> Spoilt:
    return rule(np.random.default_rng([ord(letter) for letter in rule.__name__]))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_such_files_install(
    rule: Callable[[np.random.Generator], Spoilt], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where a payload that ran would leave its mark
    folder, models = tmp_path / "published", tmp_path / "models"
    for what, spoil in cases(rule):
        shutil.copytree(whole, folder)
        spoil(folder)
        with pytest.raises(ModelError) as refused:
            install(NAME, folder, models)
            pytest.fail(f"{what}: installed")
        sentence = str(refused.value)
        assert str(folder) in sentence and "\n" not in sentence, what
        assert len(sentence) < 1000, what
        assert [path.name for path in models.iterdir()] in ([], [".install.lock"]), what
        assert not (tmp_path / CANARY).exists(), what
        shutil.rmtree(folder)


def test_the_rules_spoil_more_than_200_folders_and_the_whole_one_installs(whole: Path, tmp_path: Path) -> None:
    assert sum(1 for rule in RULES for _ in cases(rule)) >= 200
    assert install(NAME, whole, tmp_path / "models").name == NAME
