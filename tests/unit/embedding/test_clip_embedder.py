"""Frames → vectors with torch."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from seeded import SIDE_PX, TEXT_PRUNED, seeded, small_config

from vidsearch.embedding.embedder import open_clip_embedder
from vidsearch.embedding.torch_clips import PlacedEncoder, TorchClipEmbedder, accelerators, fast_dtype
from vidsearch.errors import ModelError, VidsearchError
from vidsearch.models.conversion.mobileviclip import write_model_folder
from vidsearch.models.folder import ModelFolder, find_model, open_folder
from vidsearch.models.mobileviclip.clip_encoder import BATCH_CLIPS, LARGE_BATCH_CLIPS, LARGE_BATCH_ROOM, batch_clips
from vidsearch.models.mobileviclip.config import CONFIGS
from vidsearch.models.mobileviclip.load import Network
from vidsearch.models.mobileviclip.model import MobileCLIP, MobileViCLIP
from vidsearch.records import FrameSpec

CPU = torch.device("cpu")


def network(name: str) -> Network:
    return seeded(small_config(name, TEXT_PRUNED))


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model for clips and one for pictures, installed under published names."""
    path = tmp_path_factory.mktemp("models")
    for name in ("mobileviclip-tiny", "mobileclip-s0"):
        write_model_folder(network(name), path / name, provenance={})
    return path


@pytest.fixture(scope="module")
def folder(models_dir: Path) -> ModelFolder:
    return find_model("mobileviclip-tiny", models_dir)


def clips(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """(B, 8, side, side, 3): smooth moving colours, of another kind in each clip."""
    rng = np.random.default_rng(seed)
    speed, width, phase = rng.uniform(-2, 2, (count, 3)), rng.uniform(2, 12, (count, 3)), rng.uniform(0, 6, (count, 3))
    t, place = np.arange(8)[:, None, None, None], np.linspace(0, 1, SIDE_PX)
    row, column = place[:, None, None], place[:, None]
    waves = [np.sin(w * row + v * t + p + 3 * column) for v, w, p in zip(speed, width, phase, strict=True)]
    return np.asarray((np.stack(waves) + 1) * 127.5, np.uint8)


@torch.no_grad()
def plain_vectors(source: Network, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The training form on textbook preprocessing, one clip at a time."""
    preprocessing = source.config.preprocessing
    pixels = torch.tensor(frames).float() / 255
    x = ((pixels - torch.tensor(preprocessing.mean)) / torch.tensor(preprocessing.std)).permute(0, 1, 4, 2, 3)
    if isinstance(source, MobileViCLIP):
        return np.concatenate([source.encode_video(clip[None]).numpy() for clip in x])
    assert isinstance(source, MobileCLIP)
    return np.stack([F.normalize(source.encode_image(clip, normalize=False).mean(0), dim=0).numpy() for clip in x])


@pytest.mark.parametrize("name", ["mobileviclip-tiny", "mobileclip-s0"])
def test_vectors_are_those_of_the_training_form(models_dir: Path, name: str) -> None:
    embedder = open_clip_embedder(name, models_dir=models_dir, device="cpu")
    frames = clips(3)
    got = embedder.embed(frames)
    assert (embedder.model, embedder.dim, embedder.frames) == (name, 48, 8)
    assert (got.shape, got.dtype) == ((3, 48), np.float32)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, rtol=0, atol=1e-6)
    cosine = (got * plain_vectors(network(name), frames)).sum(1)
    assert cosine.min() >= 0.9999  # bfloat16 where this machine has it; exactly 1 up to rounding elsewhere


def test_float32_is_exact_and_bfloat16_keeps_the_cosine(folder: ModelFolder) -> None:
    frames = clips(4)
    exact = PlacedEncoder(folder, CPU, torch.float32).run(frames)
    np.testing.assert_allclose(exact, plain_vectors(network("mobileviclip-tiny"), frames), rtol=0, atol=5e-6)
    rounded = PlacedEncoder(folder, CPU, torch.bfloat16).run(frames)
    assert (exact * rounded).sum(1).min() >= 0.9999
    assert (exact @ exact.T).min() < 0.99  # the clips differ, so the line above says something


def test_a_clips_vector_does_not_depend_on_its_batch(folder: ModelFolder) -> None:
    embedder = TorchClipEmbedder(folder, device="cpu")
    frames = clips(BATCH_CLIPS + 2)
    together = embedder.embed(frames)
    alone = np.concatenate([embedder.embed(frames[i : i + 1]) for i in range(len(frames))])
    assert (together * alone).sum(1).min() >= 0.9999
    assert embedder.embed(frames[:0]).shape == (0, 48)


def test_frames_may_lie_anyhow_in_memory_and_be_read_only(folder: ModelFolder) -> None:
    encoder = PlacedEncoder(folder, CPU, torch.float32)
    frames = clips(2)
    turned = np.asfortranarray(frames)
    read_only = frames.copy()
    read_only.flags.writeable = False
    for given in (turned, read_only, frames[:, ::-1][:, ::-1]):
        np.testing.assert_allclose(encoder.run(given), encoder.run(frames), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 7, SIDE_PX, SIDE_PX, 3), (1, 8, SIDE_PX, SIDE_PX), (1, 8, 32, 32, 3)])
def test_frames_of_another_shape_are_the_callers_mistake(folder: ModelFolder, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="mobileviclip-tiny takes uint8 clips"):
        TorchClipEmbedder(folder, device="cpu").embed(np.zeros(shape, np.uint8))


def test_vectors_that_are_not_finite_are_an_error(tmp_path: Path, folder: ModelFolder) -> None:
    shutil.copytree(folder.path, tmp_path / folder.name)
    tensors = load_file(folder.weights)
    tensors["vision_encoder.head.proj"].fill_(torch.nan)
    save_file(tensors, tmp_path / folder.name / "model.safetensors")
    broken = TorchClipEmbedder(open_folder(tmp_path / folder.name), device="cpu")
    with pytest.raises(ModelError, match="mobileviclip-tiny gives vectors that are not finite on cpu"):
        broken.embed(clips(1))


def test_the_frames_wanted_are_the_models(models_dir: Path) -> None:
    specs = {"mobileviclip-tiny": FrameSpec(SIDE_PX, "squash"), "mobileclip-s0": FrameSpec(SIDE_PX, "centre-crop")}
    for name, spec in specs.items():
        embedder = open_clip_embedder(name, models_dir=models_dir, device="cpu")
        assert (embedder.frame_spec, embedder.frames) == (spec, CONFIGS[name].preprocessing.frames)


# Devices


def test_the_device_says_precision_and_threads(folder: ModelFolder) -> None:
    before = torch.get_num_threads()
    try:
        embedder = TorchClipEmbedder(folder, device="cpu", threads=1)
        assert embedder.device == f"cpu ({str(fast_dtype(CPU)).removeprefix('torch.')}, 1 thread)"
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_bfloat16_is_for_a_cpu_that_multiplies_it() -> None:
    able = torch.cpu.get_capabilities()
    fast = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    assert fast_dtype(CPU) == (torch.bfloat16 if fast else torch.float32)


def test_wide_networks_run_one_clip_at_a_time_on_a_cpu() -> None:
    assert batch_clips(CPU, CONFIGS["mobileviclip-small"]) == batch_clips(CPU, CONFIGS["mobileviclip-tiny"]) == 1
    assert batch_clips(CPU, CONFIGS["mobileviclip-nano"]) == BATCH_CLIPS
    small, gpu = CONFIGS["mobileviclip-small"], torch.device("cuda")
    assert batch_clips(gpu, small, LARGE_BATCH_ROOM) == LARGE_BATCH_CLIPS
    assert batch_clips(gpu, small, LARGE_BATCH_ROOM - 1) == batch_clips(torch.device("mps"), small) == BATCH_CLIPS


def test_auto_takes_the_cpu_where_there_is_nothing_else(folder: ModelFolder) -> None:
    embedder = TorchClipEmbedder(folder)
    assert embedder.device.startswith(accelerators()[0] if accelerators() else "cpu (")


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_asked_for_must_be_there(folder: ModelFolder, name: str) -> None:
    if name.partition(":")[0] in accelerators():
        pytest.skip(f"this machine has {name}")
    with pytest.raises(VidsearchError, match=f"this machine has no device '{name}'.*choose one of cpu"):
        TorchClipEmbedder(folder, device=name)


def test_a_device_of_no_kind_is_refused(folder: ModelFolder) -> None:
    with pytest.raises(VidsearchError, match="no kind of device called 'quantum'; choose auto, cpu, cuda"):
        TorchClipEmbedder(folder, device="quantum")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_vectors_of_the_cpu(folder: ModelFolder) -> None:
    frames = clips(3)
    got = TorchClipEmbedder(folder, device="cuda").embed(frames)
    assert (got * PlacedEncoder(folder, CPU, torch.float32).run(frames)).sum(1).min() >= 0.9999


def test_a_model_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="weights of mobileviclip-small are not on this machine"):
        open_clip_embedder("mobileviclip-small", models_dir=tmp_path)
