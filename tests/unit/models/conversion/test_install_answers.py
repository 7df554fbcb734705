"""The published files of a model that answers become a folder that has proved itself, or nothing is left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from published import SMALL, byte_tokenizer, clip_tensors, language_tensors, publish, seeded_videogpt, write_weights
from safetensors.torch import load_file, save_file

from vidsearch.errors import ModelError
from vidsearch.models.conversion.install import install
from vidsearch.models.findings import kept_findings
from vidsearch.models.folder import (
    CONFIG_FILE,
    GENERATION_FILE,
    HASHES_FILE,
    SELF_TEST_FILE,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    find_model,
)
from vidsearch.models.hashes import wrong_files
from vidsearch.models.inventory import parameters
from vidsearch.models.mobilevideogpt.config import CONFIGS, config_from_fields
from vidsearch.models.mobilevideogpt.load import load_language_model, named_tensors
from vidsearch.models.request import Precision
from vidsearch.models.tokenizer_files import parse_tokenizer

NAME = "mobilevideogpt-0.5b"
NETWORK = seeded_videogpt()
REPOSITORY = "Mobile-VideoGPT-0.5B"
FILES = [CONFIG_FILE, GENERATION_FILE, HASHES_FILE, WEIGHTS_FILE, SELF_TEST_FILE, TOKENIZER_FILE]


@pytest.fixture(autouse=True)
def small_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIGS, NAME, SMALL)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return publish(tmp_path / "published", NETWORK)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".install.lock")


def test_published_files_become_an_installed_model(source: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    installed = install(NAME, source, models)
    assert find_model(NAME, models, task="vqa") == installed
    assert (names(models), names(installed.path)) == ([NAME], sorted(FILES))
    assert config_from_fields(installed.network) == SMALL
    loaded = named_tensors(load_language_model(installed))
    for key, tensor in named_tensors(NETWORK).items():
        half = not key.startswith(("model.vision_tower.", "vision_model."))
        assert torch.equal(loaded[key], tensor.half().float() if half else tensor), key
        assert loaded[key].dtype == torch.float32
    text = "What is the <|im_end|>\n?"
    assert parse_tokenizer(installed.tokenizer).encode(text).ids == byte_tokenizer().encode(text).ids
    assert json.loads(installed.generation.read_text())["eos_token_id"] == [260, 258]
    assert wrong_files(installed) == []
    assert sum(parameters(installed).values()) == sum(tensor.numel() for tensor in named_tensors(NETWORK).values())


def test_where_everything_came_from_is_kept(source: Path, tmp_path: Path) -> None:
    provenance = install(NAME, source, tmp_path / "models").provenance
    assert [file["name"] for file in provenance["files"]] == [
        "Mobile-VideoGPT-0.5B/model.safetensors",
        "clip-vit-base-patch16/model.safetensors",
        "VideoMamba/videomamba_m16_25M_f8_res224.pth",
    ]
    assert len({file["sha256"] for file in provenance["files"]}) == 3
    assert any(note.startswith("set aside from videomamba_m16_25M_f8_res224.pth") for note in provenance["notes"])


def test_the_self_test_is_kept_and_gives_the_same_again(source: Path, tmp_path: Path) -> None:
    installed = install(NAME, source, tmp_path / "models")
    kept = kept_findings(installed)
    assert kept == installed.family.self_test(installed)
    assert [finding.ok for finding in kept] == [True] * 9 + [None]


@pytest.mark.parametrize(
    ("dtype", "language", "norm", "video", "image"),
    [
        ("float32", torch.float32, torch.float32, torch.float32, torch.float32),
        ("float16", torch.float16, torch.float32, torch.float32, torch.float16),
        ("stored", torch.float16, torch.float16, torch.float32, torch.float32),
    ],
)
def test_weights_are_stored_as_chosen(
    dtype: Precision,
    language: torch.dtype,
    norm: torch.dtype,
    video: torch.dtype,
    image: torch.dtype,
    source: Path,
    tmp_path: Path,
) -> None:
    stored = load_file(install(NAME, source, tmp_path / "models", dtype=dtype).weights)
    keys = {
        "model.layers.0.mlp.up_proj.weight": language,
        "model.norm.weight": norm,
        "model.vision_tower.vision_encoder.layers.0.mixer.in_proj.weight": video,
        "vision_model.embeddings.patch_embedding.weight": image,
    }
    assert {key: stored[key].dtype for key in keys} == keys


def test_an_installed_folder_can_be_given_to_another_machine(source: Path, tmp_path: Path) -> None:
    first = install(NAME, source, tmp_path / "here")
    second = install(NAME, first.path, tmp_path / "there")
    assert second.weights.read_bytes() == first.weights.read_bytes()
    assert second.task == "vqa"
    with pytest.raises(ModelError, match=r"holds the model mobilevideogpt-0\.5b, not mobilevideogpt-1\.5b"):
        install("mobilevideogpt-1.5b", first.path, tmp_path / "there")


def test_the_repository_alone_is_no_model_folder(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not bring the image tower"):
        install(NAME, source / REPOSITORY, tmp_path / "models")
    with pytest.raises(ModelError, match=r"model\.safetensors is one file of several; give the folder"):
        install(NAME, source / REPOSITORY / "model.safetensors", tmp_path / "models")
    assert names(tmp_path / "models") == []


def spoil_weights(key: str, value: float) -> Callable[[Path], object]:
    def spoil(source: Path) -> None:
        tensors = {name: tensor.float() for name, tensor in language_tensors(NETWORK).items()}
        tensors[key].flatten()[0] = value
        write_weights(source / REPOSITORY, tensors)

    return spoil


def blind(source: Path) -> None:
    """An image tower whose patches all become nothing."""
    tensors = clip_tensors(NETWORK)
    key = "vision_model.embeddings.patch_embedding.weight"
    tensors[key] = torch.zeros_like(tensors[key])
    save_file(tensors, source / "clip-vit-base-patch16" / "model.safetensors")


def other_tokenizer(source: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens([f"<more {number}>" for number in range(20)])
    tokenizer.save(str(source / REPOSITORY / "tokenizer.json"))


def forgetful_tokenizer(source: Path) -> None:
    """A tokenizer that loses most letters."""
    path = source / REPOSITORY / "tokenizer.json"
    fields = json.loads(path.read_text())
    fields["model"]["vocab"] = {token: n for token, n in fields["model"]["vocab"].items() if token not in "aeiou"}
    fields["model"]["merges"] = []
    path.write_text(json.dumps(fields))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            spoil_weights("model.layers.0.mlp.up_proj.weight", float("nan")),
            "up_proj.weight has values that are not fini",
        ),
        (
            spoil_weights("model.embed_tokens.weight", float("inf")),
            "embed_tokens.weight has values that are not finite",
        ),
        (spoil_weights("model.norm.weight", 3e38), "fails its self-test: logits: not finite"),
        (blind, r"fails its self-test: image tokens of different clips: differ by \S+ of their length: all the same"),
        (other_tokenizer, "has 281 tokens and the embedding table 272 rows"),
        (forgetful_tokenizer, "fails its self-test: text to tokens and back"),
        (
            lambda source: (source / REPOSITORY / GENERATION_FILE).write_text('{"eos_token_id": 3}'),
            r"fails its self-test: end of an answer: <\|im_end\|> is not among \[3\]",
        ),
        (lambda source: (source / REPOSITORY / "tokenizer.json").unlink(), "holds no tokenizer"),
    ],
)
def test_a_failed_install_leaves_the_old_model_and_nothing_else(
    spoil: Callable[[Path], object], words: str, source: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    before = install(NAME, source, models).weights.read_bytes()
    spoil(source)
    with pytest.raises(ModelError, match=words) as refused:
        install(NAME, source, models)
    assert "\n" not in str(refused.value)
    assert names(models) == [NAME]
    assert find_model(NAME, models).weights.read_bytes() == before


def test_half_precision_refuses_what_it_cannot_hold(source: Path, tmp_path: Path) -> None:
    spoil_weights("model.layers.0.mlp.up_proj.weight", 1e5)(source)
    with pytest.raises(
        ModelError, match=r"up_proj\.weight of .* has values that float16 cannot hold; store the model as"
    ):
        install(NAME, source, tmp_path / "models", dtype="float16")
    assert names(tmp_path / "models") == []


def test_a_tokenizer_with_other_numbers_is_refused_at_the_published_size(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 151_936
    language = replace(SMALL.language_model, vocab_size=rows)
    monkeypatch.setitem(CONFIGS, NAME, replace(SMALL, language_model=language))
    tensors = language_tensors(NETWORK)
    write_weights(source / REPOSITORY, {**tensors, "model.embed_tokens.weight": torch.zeros(rows, 24)})
    with pytest.raises(ModelError, match="marks of the prompt: the prompt has not its published numbers"):
        install(NAME, source, tmp_path / "models")


def test_a_model_that_searches_is_not_stored_as_published(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="mobileclip-s0 is stored as float32 or float16; leave out --as-stored"):
        install("mobileclip-s0", source, tmp_path / "models", dtype="stored")
