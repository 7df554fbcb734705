"""A trained network → the model folder that ships: half-precision weights, tokenizer, config and card."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from vidsearch.files import replacing_folder
from vidsearch.models.folder import CARD_FILE, CONFIG_FILE, GENERATION_FILE, TOKENIZER_FILE, WEIGHTS_FILE, config_text
from vidsearch.models.hashes import write_hashes
from vidsearch.models.mobilevideogpt.load import named_tensors
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.training.ask.vocabulary import END, PADDING, build_tokenizer


def ship(network: MobileVideoGPT, run: dict[str, Any], folder: Path, card: str | None) -> None:
    """Write the folder anew; it is complete before it takes the old one's place. A tied head is not written twice."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(folder) as partial:
        _write(network, run, partial)
        if card is not None:
            (partial / CARD_FILE).write_text(card, encoding="utf-8")
        elif (folder / CARD_FILE).is_file():
            shutil.copy2(folder / CARD_FILE, partial / CARD_FILE)
        write_hashes(partial)


def _write(network: MobileVideoGPT, run: dict[str, Any], folder: Path) -> None:
    tensors = {
        name: tensor.to(torch.float16 if tensor.ndim > 1 else tensor.dtype).contiguous()
        for name, tensor in named_tensors(network).items()
    }
    save_file(tensors, folder / WEIGHTS_FILE)
    model = run["settings"]["model"]
    provenance = {
        "source": "trained by vidsearch on its own synthetic world",
        "licence": "MIT",
        "command": run["command"],
        "settings": run["settings"],
    }
    text = config_text(model, "mobilevideogpt", asdict(network.config), provenance)
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
    tokenizer = build_tokenizer()
    tokenizer.save(str(folder / TOKENIZER_FILE))
    stop = [tokenizer.token_to_id(END), tokenizer.token_to_id(PADDING)]
    generation = {"eos_token_id": stop, "pad_token_id": stop[1], "do_sample": False}
    (folder / GENERATION_FILE).write_text(json.dumps(generation, indent=1) + "\n", encoding="utf-8")
