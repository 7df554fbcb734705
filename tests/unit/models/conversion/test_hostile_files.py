"""Damaged and hostile weight files, made by rule: none installs, none runs anything, each is named with the reason."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile import Payload
from safetensors.torch import save as as_safetensors
from seeded import TEXT_MCT, seeded, small_config
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models.conversion.install import install
from vidsearch.models.mobileviclip.config import CONFIGS

NAME = "mobileclip-s0"
Damaged = Iterator[tuple[str, bytes]]  # what was done, and the file


@pytest.fixture(autouse=True)
def small_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIGS, NAME, small_config(NAME, TEXT_MCT))


def state() -> dict[str, Tensor]:
    """A dict of its own each time; the tensors are the same."""
    return dict(_state())


@cache
def _state() -> dict[str, Tensor]:
    return seeded(small_config(NAME, TEXT_MCT)).state_dict()


def as_zip(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def generator(rule: str) -> np.random.Generator:
    return np.random.default_rng([ord(letter) for letter in rule])


def cut(rng: np.random.Generator) -> Damaged:
    for kind, whole in (("zip", as_zip(state())), ("safetensors", as_safetensors(state()))):
        for part in rng.uniform(0, 1, 30):
            yield f"{kind} cut at {part:.3f}", whole[: int(part * (len(whole) - 1))]


def flipped_in_zip(rng: np.random.Generator) -> Damaged:
    whole = as_zip(state())
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        entries = [entry for entry in archive.infolist() if entry.file_size > 0]
    for number in rng.integers(len(entries), size=40):
        entry = entries[int(number)]
        name_bytes, extra_bytes = struct.unpack_from("<HH", whole, entry.header_offset + 26)
        at = entry.header_offset + 30 + name_bytes + extra_bytes + int(rng.integers(entry.file_size))
        yield f"{entry.filename} flipped at {at}", flipped(whole, at, int(rng.integers(8)))


def flipped_in_header(rng: np.random.Generator) -> Damaged:
    whole = as_safetensors(state())
    length = int.from_bytes(whole[:8], "little")
    places = [at for at in range(8 + length) if whole[at : at + 1] != b" "]  # spaces only fill the header up
    for at in rng.choice(places, 30, replace=False):
        yield f"header flipped at {at}", flipped(whole, int(at), int(rng.integers(8)))


def flipped(whole: bytes, at: int, bit: int) -> bytes:
    data = bytearray(whole)
    data[at] ^= 1 << bit
    return bytes(data)


def renamed(rng: np.random.Generator) -> Damaged:
    for key in rng.choice(sorted(state()), 20, replace=False):
        tensors = state()
        tensors[f"{key}_"] = tensors.pop(str(key))
        yield f"{key} renamed", as_zip(tensors)


def left_out(rng: np.random.Generator) -> Damaged:
    keys = [key for key in sorted(state()) if not key.endswith("num_batches_tracked")]
    for key in rng.choice(keys, 15, replace=False):
        yield f"{key} left out", as_zip({name: tensor for name, tensor in state().items() if name != key})


def reshaped(rng: np.random.Generator) -> Damaged:
    keys = [key for key, tensor in state().items() if tensor.ndim >= 2 and tensor.shape[0] != tensor.shape[1]]
    for number, key in enumerate(rng.choice(sorted(keys), 20, replace=False)):
        tensors = state()
        tensors[str(key)] = tensors[str(key)].transpose(0, 1).contiguous() if number % 2 else tensors[str(key)][None]
        yield f"{key} reshaped", as_zip(tensors)


def absurd(rng: np.random.Generator) -> Damaged:
    for key in rng.choice([key for key, tensor in state().items() if tensor.ndim >= 2], 5, replace=False):
        tensors = state()
        tensors[str(key)] = torch.zeros(1).expand(10**6, 10**6)  # a view: the file stays small
        yield f"{key} of a terabyte", as_zip(tensors)
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 40, 1 << 20], "data_offsets": [0, 1 << 62]}}).encode()
    yield "a header of an exabyte", len(header).to_bytes(8, "little") + header
    yield "a header longer than the file", (1 << 39).to_bytes(8, "little") + header


def not_numbers(rng: np.random.Generator) -> Damaged:
    keys = [key for key, tensor in state().items() if tensor.ndim == 4 and key.startswith("image_encoder")]
    for key in rng.choice(sorted(keys), 8, replace=False):
        tensors = state()
        tensors[str(key)] = torch.full_like(tensors[str(key)], float(rng.choice([np.nan, np.inf])))
        yield f"{key} not finite", as_zip(tensors)


def other_models(rng: np.random.Generator) -> Damaged:
    other = seeded(small_config("mobileviclip-tiny", TEXT_MCT)).state_dict()
    yield "a model of clips", as_zip({"module": other})
    yield "the picture half", as_zip({key: t for key, t in state().items() if key.startswith("image_encoder.")})
    yield "the text half", as_zip({key: t for key, t in state().items() if key.startswith("text_encoder.")})
    yield "another network", as_zip({f"layer{number}.weight": torch.zeros(3) for number in range(9)})
    yield "a list", as_zip([torch.zeros(3)])
    yield "numbers", as_zip({"a": 1.0})


def no_weights(rng: np.random.Generator) -> Damaged:
    yield "nothing", b""
    yield "a page", b"<!DOCTYPE html><html><body>Quota exceeded</body></html>"
    yield "a pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    for number in range(10):
        yield f"noise {number}", rng.bytes(1000)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    yield "a bomb", packed.getvalue()


def payloads(rng: np.random.Generator) -> Damaged:
    canary = f"touch {CANARY}"
    calls = [
        Payload(os.system, canary),
        Payload(eval, f"__import__('os').system({canary!r})"),
        Payload(exec, f"import os; os.system({canary!r})"),
        Payload(os.mkdir, CANARY),
        Payload(open, CANARY, "w"),
    ]
    for number, call in enumerate(calls):
        for where, content in (
            ("alone", call),
            ("as a value", {**state(), "more": call}),
            ("as a wrapper", {"module": call}),
        ):
            yield f"pickled call {number} {where}", pickle.dumps(content, protocol=2)
            yield f"call {number} in a zip {where}", as_zip(content)


CANARY = "canary-of-test-hostile-files"
Rule = Callable[[np.random.Generator], Damaged]
RULES: dict[Rule, int] = {  # rule → how many files it makes
    cut: 60,
    flipped_in_zip: 40,
    flipped_in_header: 30,
    renamed: 20,
    left_out: 15,
    reshaped: 20,
    absurd: 7,
    not_numbers: 8,
    other_models: 6,
    no_weights: 14,
    payloads: 30,
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_such_file_installs(rule: Rule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where a payload that ran would leave its mark
    file, models = tmp_path / "mobileclip_s0.pt", tmp_path / "models"
    made = 0
    for what, content in rule(generator(rule.__name__)):
        made += 1
        file.write_bytes(content)
        with pytest.raises(ModelError) as refused:
            install(NAME, file, models)
        sentence = str(refused.value)
        assert str(file) in sentence and "\n" not in sentence, what
        assert [path.name for path in models.iterdir()] in ([], [".install.lock"]), what
        assert not (tmp_path / CANARY).exists(), what
    assert made == RULES[rule]


def test_the_whole_file_installs(tmp_path: Path) -> None:
    file = tmp_path / "mobileclip_s0.pt"
    file.write_bytes(as_zip(state()))
    assert install(NAME, file, tmp_path / "models").name == NAME
