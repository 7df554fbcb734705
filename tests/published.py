"""Mobile-VideoGPT in the layouts in which its parts are published, a thousandth of its size."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from torch import Tensor

from vidsearch.models.clip_vit.config import ClipImageConfig
from vidsearch.models.mobilevideogpt.config import MobileVideoGPTConfig
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.models.qwen2.config import LanguageModelConfig
from vidsearch.models.videomamba.config import VideoMambaConfig

SMALL = MobileVideoGPTConfig(
    ClipImageConfig(32, 48, 2, 4, image_size=32, patch_size=8),
    VideoMambaConfig(depth=1, embed_dim=16, img_size=32, patch_size=8, dt_rank=1, d_state=2),
    LanguageModelConfig(272, 24, 32, 2, 4, 2),
    image_side=3,
    video_side=4,
)
MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def seeded_videogpt(config: MobileVideoGPTConfig = SMALL, seed: int = 0) -> MobileVideoGPT:
    """The network with weights that follow from `seed`."""
    torch.manual_seed(seed)
    return MobileVideoGPT(config).eval()


def byte_tokenizer() -> Tokenizer:
    """A tokenizer as Qwen2's, with a letter for each byte, two merges and the three marks."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*letters, "th", "the"])}
    return _byte_level(BPE(vocabulary, [("t", "h"), ("th", "e")]))


def _byte_level(model: BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s?\w+|\s+|[^\s\w]+"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(mark, normalized=False, special=True) for mark in MARKS])
    return tokenizer


def qwen_like_tokenizer(tokens: int = 151_646) -> Tokenizer:
    """As many tokens as Qwen2.5's, those of the prompt's words with its numbers, the rest never used."""
    vocabulary = {letter: number for number, letter in enumerate(_letters_in_qwens_order())}
    merges: list[tuple[str, str]] = []
    unused = iter(range(20_000, tokens))
    for word, number in {"Ġa": 264, **_WORDS}.items():
        for end in range(2, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary[word[:end]] = number if end == len(word) else next(unused)
                merges.append((word[: end - 1], word[end - 1]))
    taken = set(vocabulary.values())
    vocabulary |= {f"unused {number}": number for number in range(tokens - len(MARKS)) if number not in taken}
    return _byte_level(BPE(vocabulary, merges))


# The words of the prompt around the frames, and their numbers in Qwen2's vocabulary.
_WORDS = {
    "system": 8948,
    "You": 2610,
    "Ġare": 525,
    "Ġhelpful": 10950,
    "Ġassistant": 17847,
    "user": 872,
    "assistant": 77091,
}


def _letters_in_qwens_order() -> list[str]:
    """The letters for the 256 bytes: first those of bytes that can be printed, then the rest."""
    printed = [chr(byte) for byte in (*range(33, 127), *range(161, 173), *range(174, 256))]
    return [*printed, *(chr(256 + number) for number in range(256 - len(printed)))]


def language_tensors(network: MobileVideoGPT) -> dict[str, Tensor]:
    """The keys of the Mobile-VideoGPT file; language model and projectors in half precision, as they are published."""
    return {
        key: tensor.clone() if key.startswith("model.vision_tower.") else tensor.half()
        for key, tensor in network.state_dict().items()
    }


def clip_tensors(network: MobileVideoGPT) -> dict[str, Tensor]:
    """The keys of CLIP's file: the image tower and what Mobile-VideoGPT does not use."""
    return {
        **network.image_tower.state_dict(),
        "vision_model.embeddings.position_ids": torch.arange(17)[None],
        "text_model.final_layer_norm.weight": torch.ones(8),
        "text_model.embeddings.position_ids": torch.arange(77)[None],
        "text_projection.weight": torch.ones(8, 8),
        "visual_projection.weight": torch.ones(8, 32),
        "logit_scale": torch.tensor(4.6),
    }


def mamba_tensors(network: MobileVideoGPT) -> dict[str, Tensor]:
    """The keys of OpenGVLab's file: the video encoder and the rest of the pre-trained model."""
    return {
        **network.model.vision_tower.state_dict(),
        "vision_encoder.pool_norm.weight": torch.ones(16),
        "text_encoder.embeddings.position_ids": torch.arange(5)[None],
        "text_encoder.embeddings.word_embeddings.weight": torch.ones(9, 4),
        "temp": torch.tensor(0.07),
    }


def config_fields(config: MobileVideoGPTConfig = SMALL) -> dict[str, Any]:
    """The published config.json."""
    return {
        **asdict(config.language_model),
        "model_type": "MobileVideoGPT_qwen",
        "hidden_act": "silu",
        "mm_vision_tower": "OpenGVLab/VideoMamba/videomamba_m16_25M_f8_res224.pth",
        "image_mm_vision_tower": "openai/clip-vit-base-patch16",
        "mm_projector_type": "etp",
        "image_mm_projector_type": "etp",
        "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch",
        "mm_use_im_start_end": False,
        "mm_use_im_patch_token": False,
        "mm_hidden_size": 768,
    }


def publish(folder: Path, network: MobileVideoGPT, *, shards: int = 1, pickled: bool = False) -> Path:
    """Write what the three repositories hold, each in a folder of its own, and return the folder of them all."""
    repository, clip, mamba = (
        folder / name for name in ("Mobile-VideoGPT-0.5B", "clip-vit-base-patch16", "VideoMamba")
    )
    for place in (repository, clip, mamba):
        place.mkdir(parents=True)
    write_weights(repository, language_tensors(network), shards)
    (repository / "config.json").write_text(json.dumps(config_fields(network.config)))
    byte_tokenizer().save(str(repository / "tokenizer.json"))
    if pickled:
        torch.save(clip_tensors(network), clip / "pytorch_model.bin")
    else:
        save_file(clip_tensors(network), clip / "model.safetensors")
    torch.save({"model": mamba_tensors(network), "epoch": 9}, mamba / "videomamba_m16_25M_f8_res224.pth")
    return folder


def write_weights(repository: Path, tensors: dict[str, Tensor], shards: int = 1) -> None:
    """model.safetensors, or shards with their index."""
    if shards == 1:
        save_file(tensors, repository / "model.safetensors")
        return
    places = {key: f"model-{number % shards + 1:05d}-of-{shards:05d}.safetensors" for number, key in enumerate(tensors)}
    for name in set(places.values()):
        save_file({key: tensor for key, tensor in tensors.items() if places[key] == name}, repository / name)
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (repository / "model.safetensors.index.json").write_text(json.dumps(index))
