"""Weights become a model folder that has proved itself, or nothing is left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from seeded import SIDE_PX, TEXT_MCT, TEXT_PRUNED, seeded, small_config

from vidsearch.errors import ModelError
from vidsearch.models.conversion.install import install
from vidsearch.models.conversion.mobileviclip import write_model_folder
from vidsearch.models.findings import kept_findings
from vidsearch.models.folder import (
    CONFIG_FILE,
    HASHES_FILE,
    SELF_TEST_FILE,
    TEXT_FILE,
    WEIGHTS_FILE,
    ModelFolder,
    find_model,
    open_folder,
)
from vidsearch.models.hashes import wrong_files
from vidsearch.models.load import build
from vidsearch.models.mobileviclip.config import CONFIGS
from vidsearch.models.mobileviclip.load import Form, Network, load_network
from vidsearch.models.mobileviclip.model import MobileViCLIP
from vidsearch.models.mobileviclip.tokenizer import tokenize

FULL_SIZE = "VIDSEARCH_FULL_PARITY"


@pytest.fixture
def small_published_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mobileclip-s0", "mobileviclip-tiny"):
        monkeypatch.setitem(CONFIGS, name, small_config(name, TEXT_MCT))


def published(folder: Path) -> tuple[Path, Network]:
    """A folder with the two files of mobileviclip-tiny, as their publishers lay them out, and the network in them."""
    network = seeded(CONFIGS["mobileviclip-tiny"])
    state = network.state_dict()
    vision = {
        key.replace(".temporal.", ".time_"): tensor
        for key, tensor in state.items()
        if not key.startswith("text_encoder.")
    }
    apple = seeded(CONFIGS["mobileclip-s0"], seed=5).state_dict()
    apple |= {key: tensor for key, tensor in state.items() if key.startswith("text_encoder.")}
    folder.mkdir()
    torch.save({"module": vision, "epoch": 3}, folder / "mobileviclip_tiny.pt")
    torch.save(apple, folder / "mobileclip_s0.pt")
    return folder, network


@torch.no_grad()
def vectors(network: Network) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    side = network.config.preprocessing.side_px
    assert isinstance(network, MobileViCLIP)
    clips = network.encode_video(torch.rand(1, 8, 3, side, side, generator=generator))
    return torch.cat([clips, network.encode_text(tokenize(["a red circle"]))])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".install.lock")


@pytest.mark.usefixtures("small_published_sizes")
def test_published_files_become_an_installed_model(tmp_path: Path) -> None:
    source, network = published(tmp_path / "downloads")
    models = tmp_path / "models"
    installed = install("mobileviclip-tiny", source, models)
    assert (installed.name, installed.origin) == ("mobileviclip-tiny", "installed")
    assert find_model("mobileviclip-tiny", models) == installed
    assert names(models) == ["mobileviclip-tiny"]
    assert names(installed.path) == [CONFIG_FILE, HASHES_FILE, WEIGHTS_FILE, SELF_TEST_FILE, TEXT_FILE]
    assert [file["name"] for file in installed.provenance["files"]] == ["mobileviclip_tiny.pt", "mobileclip_s0.pt"]
    expected = vectors(network)
    forms: tuple[Form, ...] = ("train", "inference", "fused")
    for form in forms:
        torch.testing.assert_close(vectors(load_network(installed, form)), expected, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("small_published_sizes")
def test_an_installed_folder_can_be_given_to_another_machine(tmp_path: Path) -> None:
    source, network = published(tmp_path / "downloads")
    first = install("mobileviclip-tiny", source, tmp_path / "here")
    second = install("mobileviclip-tiny", first.path, tmp_path / "there")
    assert second.path == tmp_path / "there" / "mobileviclip-tiny"
    torch.testing.assert_close(vectors(load_network(second)), vectors(network), rtol=0, atol=1e-5)
    with pytest.raises(ModelError, match="holds the model mobileviclip-tiny, not mobileclip-s0"):
        install("mobileclip-s0", first.path, tmp_path / "there")


@pytest.mark.usefixtures("small_published_sizes")
def test_a_failed_install_leaves_the_old_model_and_nothing_else(tmp_path: Path) -> None:
    source, _ = published(tmp_path / "downloads")
    models = tmp_path / "models"
    install("mobileviclip-tiny", source, models)
    wrong = torch.load(source / "mobileviclip_tiny.pt", weights_only=True)
    wrong["module"]["vision_encoder.patch_embed.0.rbr_conv.0.conv.weight"][0] = 3e38
    torch.save(wrong, source / "mobileviclip_tiny.pt")
    with pytest.raises(ModelError, match=r"downloads cannot be used: mobileviclip-tiny fails its self-test: clip"):
        install("mobileviclip-tiny", source, models)
    assert names(models) == ["mobileviclip-tiny"]
    assert torch.isfinite(vectors(load_network(find_model("mobileviclip-tiny", models)))).all()


@pytest.mark.usefixtures("small_published_sizes")
def test_a_folder_whose_text_encoder_is_of_another_network_is_refused(tmp_path: Path) -> None:
    source, _ = published(tmp_path / "downloads")
    good = install("mobileviclip-tiny", source, tmp_path / "here")
    other = write(seeded(small_config("mobileviclip-tiny", TEXT_MCT), seed=9), tmp_path / "other")
    good.text_encoder.write_bytes(other.text_encoder.read_bytes())
    with pytest.raises(ModelError, match="mobileviclip-tiny fails its self-test: ONNX text encoder: differs by"):
        install("mobileviclip-tiny", good.path, tmp_path / "there")
    assert names(tmp_path / "there") == []


def test_a_bundled_model_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="mobileviclip-nano comes with vidsearch"):
        install("mobileviclip-nano", tmp_path, tmp_path / "models")


def test_an_unknown_name_or_a_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model is called 'x'"):
        install("x", tmp_path, tmp_path / "models")
    with pytest.raises(ModelError, match=r"there is no .*nothing\.pt"):
        install("mobileclip-s0", tmp_path / "nothing.pt", tmp_path / "models")


# Writing a trained network


def write(network: Network, folder: Path, dtype: str = "float32") -> ModelFolder:
    assert dtype in ("float32", "float16")
    half = dtype == "float16"
    return write_model_folder(network, folder, provenance={"made": "here"}, dtype="float16" if half else "float32")


def test_a_trained_network_is_written_whole(tmp_path: Path) -> None:
    network = seeded(small_config("mobileviclip-nano", TEXT_PRUNED)).train()
    levels = {"high": 0.5}
    folder = write_model_folder(
        network, tmp_path / "nano", provenance={"steps": 5}, score_levels=levels, card="# Nano\n"
    )
    assert network.training  # the network given is not touched
    assert folder.weights.stat().st_mode == folder.card.stat().st_mode
    assert folder.card.read_text() == "# Nano\n"
    assert json.loads((folder.path / CONFIG_FILE).read_text())["network"]["text"]["vocabulary_rows"] == 64
    assert (folder.provenance, folder.score_levels) == ({"steps": 5}, levels)
    loaded = load_network(folder, "train")
    assert loaded.config == network.config
    assert all(torch.equal(loaded.state_dict()[key], tensor) for key, tensor in network.state_dict().items())


def test_half_precision_rounds_matrices_and_keeps_norms(tmp_path: Path) -> None:
    network = seeded(small_config("mobileviclip-nano", TEXT_PRUNED))
    folder = write(network, tmp_path / "nano", "float16")
    for key, tensor in load_file(folder.weights).items():
        expected = torch.int64 if "num_batches" in key or "row" in key else None
        assert tensor.dtype == (expected or (torch.float16 if tensor.ndim > 1 else torch.float32)), key
    cosine = (vectors(load_network(folder)) * vectors(network)).sum(1)
    assert float(cosine.min()) > 0.9999


def test_weights_that_half_precision_cannot_hold_are_refused(tmp_path: Path) -> None:
    network = seeded(small_config("mobileviclip-nano", TEXT_PRUNED))
    network.state_dict()["text_encoder.projection_layer"].mul_(1e6)
    with pytest.raises(ModelError, match=r"not finite|loses too much as float16"):
        write(network, tmp_path / "nano", "float16")
    assert names(tmp_path) == []


def test_an_existing_folder_is_replaced(tmp_path: Path) -> None:
    config = small_config("mobileviclip-nano", TEXT_PRUNED)
    write(seeded(config, seed=1), tmp_path / "models" / "nano")
    (tmp_path / "models" / "nano" / "left-over").touch()
    second = seeded(config, seed=2)
    folder = write(second, tmp_path / "models" / "nano")
    assert names(tmp_path / "models") == ["nano"]
    assert names(folder.path) == [CONFIG_FILE, HASHES_FILE, WEIGHTS_FILE, SELF_TEST_FILE, TEXT_FILE]
    torch.testing.assert_close(vectors(load_network(folder, "train")), vectors(second), rtol=0, atol=1e-6)


def test_a_file_that_changed_after_the_installation_is_named(tmp_path: Path) -> None:
    folder = write(seeded(small_config("mobileviclip-nano", TEXT_PRUNED)), tmp_path / "nano")
    assert wrong_files(folder) == []
    data = bytearray(folder.weights.read_bytes())
    data[-1] ^= 1
    folder.weights.write_bytes(data)
    (folder.path / SELF_TEST_FILE).unlink()
    assert wrong_files(folder) == ["selftest.json is missing", "model.safetensors has changed"]
    (folder.path / HASHES_FILE).write_text("{")
    with pytest.raises(ModelError, match=r"hashes\.json is not JSON"):
        wrong_files(folder)


def test_the_self_test_is_kept_with_the_model(tmp_path: Path) -> None:
    folder = write(seeded(small_config("mobileviclip-nano", TEXT_PRUNED)), tmp_path / "nano")
    kept = kept_findings(folder)
    assert kept == folder.family.self_test(folder)
    assert [finding.ok for finding in kept] == [True] * 8 + [None]
    (folder.path / SELF_TEST_FILE).write_text("[{}]")
    assert kept_findings(folder) == []


def test_a_network_that_gives_all_clips_one_vector_is_refused(tmp_path: Path) -> None:
    network = seeded(small_config("mobileviclip-nano", TEXT_PRUNED))
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if key.startswith("vision_encoder.conv_exp") and key.endswith("bn.weight"):
                tensor.zero_()  # what is left is the bias: the same for every picture
            if key == "vision_encoder.conv_exp.rbr_skip.weight":
                tensor.zero_()
    with pytest.raises(ModelError, match=r"different clips: cosines up to 1\.000000: all the same to this model"):
        write(network, tmp_path / "nano")
    assert names(tmp_path) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(ModelError, match=r"the folder .*models cannot be made \(File exists\)"):
        write(seeded(small_config("mobileviclip-nano", TEXT_PRUNED)), tmp_path / "models" / "nano")


# Loading a folder


def test_a_loader_that_embeds_clips_reads_no_text_encoder(tmp_path: Path) -> None:
    folder = write(seeded(small_config("mobileviclip-nano", TEXT_PRUNED)), tmp_path / "nano")
    network = load_network(folder, towers="image")
    assert not hasattr(network, "text_encoder")
    assert isinstance(network, MobileViCLIP)
    assert network.encode_video(torch.zeros(1, 8, 3, SIDE_PX, SIDE_PX)).shape == (1, 48)


@pytest.mark.parametrize("damage", ["cut", "lacks a tensor", "another shape"])
def test_a_damaged_folder_is_refused(tmp_path: Path, damage: str) -> None:
    folder = write(seeded(small_config("mobileviclip-nano", TEXT_PRUNED)), tmp_path / "nano")
    key = "vision_encoder.head.proj"
    if damage == "cut":
        folder.weights.write_bytes(folder.weights.read_bytes()[:-1000])
    else:
        with safe_open(folder.weights, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        tensors = {name: t for name, t in tensors.items() if name != key} if damage == "lacks a tensor" else tensors
        if key in tensors:
            tensors[key] = tensors[key].T.contiguous()
        save_file(tensors, folder.weights)
    with pytest.raises(ModelError, match=r"model\.safetensors (is damaged or cut short|does not fit)"):
        load_network(open_folder(folder.path))


@pytest.mark.skipif(not os.environ.get(FULL_SIZE), reason=f"takes a minute and 2 GB; set {FULL_SIZE}=1 to run it")
def test_the_default_model_installs_at_its_full_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build("mobileviclip-small")
    torch.save({"module": network.state_dict()}, tmp_path / "mobileviclip_small.pt")
    installed = install("mobileviclip-small", tmp_path / "mobileviclip_small.pt", tmp_path / "models")
    torch.testing.assert_close(vectors(load_network(installed)), vectors(network), rtol=0, atol=1e-4)
