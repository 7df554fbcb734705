"""The small model that ships: a fresh network whose word table covers the synthetic world."""

from __future__ import annotations

from dataclasses import replace

import torch

from vidsearch.models.mobileviclip.config import END_TOKEN, MobileViCLIPConfig, TemporalConfig
from vidsearch.models.mobileviclip.load import build_from
from vidsearch.models.mobileviclip.model import MobileViCLIP
from vidsearch.models.mobileviclip.tokenizer import START_TOKEN, pre_text, token_ids
from vidsearch.training.initialisation import init_from_scratch
from vidsearch.training.world.captions import all_words


def vocabulary() -> list[int]:
    """The token ids that captions of the world can hold, with start, end and padding (0), sorted."""
    tokens = {0, START_TOKEN, END_TOKEN}
    for word in all_words():
        tokens.update(token_ids(pre_text(word)))
    return sorted(tokens)


def fresh_nano(
    config: MobileViCLIPConfig, seed: int, temperature: float, temporal: TemporalConfig | None = None
) -> MobileViCLIP:
    """A network of `config` (or of its ablation row `temporal`) ready to be trained from scratch on the world."""
    tokens = vocabulary()
    text = replace(config.text, vocabulary_rows=len(tokens) + 1)  # row 0: every word that was left out
    sized = replace(config, text=text, temporal=temporal or config.temporal)
    torch.manual_seed(seed)
    network = build_from(sized)
    if not isinstance(network, MobileViCLIP):
        raise TypeError("a MobileViCLIPConfig builds a MobileViCLIP")
    rows = network.text_encoder.embedding_row
    rows[torch.tensor(tokens)] = torch.arange(1, len(tokens) + 1)
    with torch.no_grad():
        network.temp.fill_(temperature)
    init_from_scratch(network, seed)
    return network
