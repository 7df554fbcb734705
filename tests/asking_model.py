"""A model folder that answers, a thousandth of the real one, whose weights follow from one number.

What it says makes no sense and is never the same for two clips or questions: enough to see what an answer depends on.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Sequence, Split

from vidsearch.models.clip_vit.config import ClipImageConfig
from vidsearch.models.folder import ModelFolder, config_text, open_folder
from vidsearch.models.hashes import write_hashes
from vidsearch.models.mobilevideogpt.config import MobileVideoGPTConfig
from vidsearch.models.mobilevideogpt.load import named_tensors
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.models.qwen2.config import LanguageModelConfig
from vidsearch.models.videomamba.config import VideoMambaConfig

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>")
WORDS = (
    *("system", "user", "assistant", "you", "are", "a", "helpful", "\n", ".", "?", "what", "is", "there", "who", "now"),
    *("red", "blue", "green", "dog", "cat", "house", "runs", "sleeps", "sings", "left", "right", "up", "down", "big"),
)
CONFIG = MobileVideoGPTConfig(
    image_tower=ClipImageConfig(32, 64, 3, 4, image_size=32, patch_size=8),
    video_encoder=VideoMambaConfig(depth=2, embed_dim=32, img_size=32, patch_size=8, d_state=4, expand=1, dt_rank=4),
    language_model=LanguageModelConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        rope_theta=10_000.0,
        max_position_embeddings=320,
    ),
    image_side=3,
    video_side=4,
)


def make_answering_folder(path: Path, name: str = "mobilevideogpt-0.5b", seed: int = 0) -> ModelFolder:
    """Write the folder of a network drawn from `seed`, under a model's name that vidsearch knows."""
    path.mkdir(parents=True)
    tensors = {key: tensor.contiguous() for key, tensor in named_tensors(seeded_network(seed)).items()}
    save_file(tensors, path / "model.safetensors")
    (path / "config.json").write_text(config_text(name, "mobilevideogpt", asdict(CONFIG), {"seed": seed}))
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0], "repetition_penalty": 1.3}))
    word_tokenizer().save(str(path / "tokenizer.json"))
    write_hashes(path)
    return open_folder(path)


def seeded_network(seed: int) -> MobileVideoGPT:
    """The network; its word table is small, so that an answer is no echo, and the pictures count for much."""
    torch.manual_seed(seed)
    network = MobileVideoGPT(CONFIG).eval()
    with torch.no_grad():
        network.model.embed_tokens.weight.mul_(0.2)
        for layer in network.model.layers:
            for parameter in layer.parameters():
                if parameter.ndim == 2:
                    parameter.mul_(2.5)
    return network


def word_tokenizer() -> Tokenizer:
    """Whole lower-case words, as in mobilevideogpt-nano."""
    rows = {word: row for row, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(WordLevel(rows, unk_token="<unk>"))
    tokenizer.normalizer = Lowercase()
    marks = Split(Regex(r"[?.!,\n]"), "isolated")
    tokenizer.pre_tokenizer = Sequence([Split(Regex(" +"), "removed"), marks])
    tokenizer.add_special_tokens(list(SPECIAL[:3]))
    return tokenizer
