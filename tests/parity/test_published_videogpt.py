"""mobilevideogpt-0.5b from files of the published names, shapes, precisions and layouts, at its full size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from published import config_fields, qwen_like_tokenizer, write_weights
from recipe import shared_json
from recipe_videogpt import weight
from safetensors import safe_open
from support import environment
from torch import Tensor

from vidsearch.models.findings import kept_findings
from vidsearch.models.folder import find_model
from vidsearch.models.mobilevideogpt.config import CONFIGS

FULL_SIZE = "VIDSEARCH_FULL_PARITY"
NAME, SEED = "mobilevideogpt-0.5b", 2
Shapes = dict[str, list[int]]

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get(FULL_SIZE), reason=f"takes minutes and 5 GB of disk; set {FULL_SIZE}=1 to run it"
    ),
    pytest.mark.timeout(3600),
]


def drawn(shapes: Shapes) -> dict[str, Tensor]:
    return {key: torch.from_numpy(weight(key, tuple(shape), SEED)) for key, shape in shapes.items()}


def write_published(folder: Path, keys: dict[str, Shapes]) -> None:
    """Two shards in half precision with the video encoder in float32, CLIP's pickle, OpenGVLab's pickle."""
    language = drawn(keys["expected_checkpoint_0.5b"])
    write_weights(folder, {key: t if ".vision_tower." in key else t.half() for key, t in language.items()}, shards=2)
    (folder / "config.json").write_text(json.dumps(config_fields(CONFIGS[NAME])))
    qwen_like_tokenizer().save(str(folder / "tokenizer.json"))
    video = {key.removeprefix("model.vision_tower."): t for key, t in language.items() if ".vision_tower." in key}
    torch.save({"module": {**video, "text_encoder.pooler.dense.bias": torch.ones(768)}}, folder / "videomamba.pth")
    image = {**drawn(keys["clip_image_tower_vit_b16"]), "logit_scale": torch.tensor(4.6)}
    torch.save(image, folder / "pytorch_model.bin")


def peak_of_own_memory(command: list[str]) -> tuple[int, subprocess.CompletedProcess[bytes]]:
    """Bytes of memory at its highest that no file stands behind, and how the command ended. Linux alone."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as process:
        peak, status = 0, Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            lines = [line for line in status.read_text().splitlines() if line.startswith("RssAnon")]
            peak = max([peak, *(1024 * int(line.split()[1]) for line in lines)])
            time.sleep(0.02)
        out, error = process.communicate()
    done = subprocess.CompletedProcess(command, process.returncode, out, error)
    return peak, done


def test_it_installs_with_less_memory_than_its_weights_take(tmp_path: Path, own_home: Path) -> None:
    keys = shared_json("spec/mobile_videogpt_keys.json")
    source = tmp_path / "published"
    source.mkdir()
    write_published(source, keys)
    command = [sys.executable, "-m", "vidsearch", "models", "add", NAME, "--from", str(source)]
    peak, done = peak_of_own_memory(command)
    assert done.returncode == 0, done.stderr.decode()
    installed = find_model(NAME, own_home / "models")
    size = installed.weights.stat().st_size
    assert peak < size, f"{peak / 1e6:.0f} MB for {size / 1e6:.0f} MB of weights"

    assert [finding.ok for finding in kept_findings(installed)] == [True] * 9 + [None]
    assert kept_findings(installed)[1].note == "single tokens, with the published numbers"
    expected: Shapes = {**keys["expected_checkpoint_0.5b"], **keys["clip_image_tower_vit_b16"]}
    with safe_open(installed.weights, framework="pt") as file:
        assert {key: file.get_slice(key).get_shape() for key in file.keys()} == expected  # noqa: SIM118 - no dict
        for key in list(expected)[::50]:
            want = torch.from_numpy(weight(key, tuple(expected[key]), SEED))
            half = ".vision_tower." not in key and not key.startswith("vision_model.")
            assert torch.equal(file.get_tensor(key), want.half().float() if half else want), key
