"""Maps that read from a network's features what it should know. They add a loss while training; no model holds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.models.qwen2.decoder import CausalLanguageModel
from vidsearch.training.ask.labels import FRAME_TARGETS, LABEL_SIZES, STILL_TARGETS, TokenLabels
from vidsearch.training.world.scene import FIELD_SIZES, FIELDS, Array

IGNORE_INDEX = -100  # of torch's cross-entropy
_TURNS_WEIGHT = 2.0  # what turns is rare and hard to see


class AttributeProbe(nn.Module):
    """Reads tokens: each by a linear map for what lies under it, their means by two layers for the whole meaning."""

    def __init__(self, width: int, fields: tuple[str, ...], means: int) -> None:
        super().__init__()
        self.numbers = [FIELDS.index(field) for field in fields]
        self.sizes = [FIELD_SIZES[number] for number in self.numbers]
        self.norm = nn.LayerNorm(width)
        self.to_token = nn.Linear(width, sum(LABEL_SIZES.values()))
        self.to_codes = nn.Sequential(nn.Linear(means * width, 256), nn.GELU(), nn.Linear(256, sum(self.sizes)))
        self.to_frame = nn.Linear(width, FRAME_TARGETS)
        self.means = means

    def token_loss(self, tokens: Tensor, facts: Sequence[TokenLabels], *, moving: bool) -> Tensor:
        """tokens (B, N, P, D), one TokenLabels of (N, P) a clip; without `moving` nothing that takes two frames."""
        answers = self.to_token(self.norm(tokens)).float().split(list(LABEL_SIZES.values()), dim=-1)
        said = dict(zip(LABEL_SIZES, answers, strict=True))
        wanted = {
            name: torch.from_numpy(np.stack([getattr(f, name) for f in facts])).to(tokens.device)
            for name in LABEL_SIZES
        }
        things = (wanted["colour"] > 0).unsqueeze(-1).float()
        weight = 1 + 4 * things.flatten()  # most tokens lie on nothing
        loss = tokens.new_zeros(())
        for name in ("colour", "shape"):
            each = F.cross_entropy(said[name].flatten(0, -2), wanted[name].flatten(), reduction="none")
            loss = loss + (each * weight).sum() / weight.sum()
        for name in ("places", "rates") if moving else ("places",):
            loss = loss + ((said[name] - wanted[name]).abs() * things).sum() / things.sum().clamp(min=1)
        loss = loss + _TURNS_WEIGHT * _asked(said["sector"], wanted["sector"])
        if moving:
            turning = wanted["sector"] >= 0
            loss = loss + _TURNS_WEIGHT * (
                0.5 * _asked(said["before"], wanted["before"])
                + _asked(said["sense"], wanted["sense"].where(turning, -1))
                + 0.3 * _asked(said["sense"], wanted["sense"].where(~turning, -1))
            )
        return loss

    def frame_loss(self, tokens: Tensor, facts: Sequence[Array], *, moving: bool) -> Tensor:
        """tokens (B, N, P, D), `frame_targets` of each clip: what a linear map reads from a frame's mean."""
        said = self.to_frame(self.norm(tokens).mean(2)).float()
        true = torch.from_numpy(np.stack(facts)).to(said.device)
        seen = true[..., 5:6].expand_as(true).clone()
        seen[..., 5] = 1
        count = FRAME_TARGETS if moving else STILL_TARGETS
        return ((said - true).abs() * seen)[..., :count].sum(-1).mean()

    def meaning_losses(self, tokens: Tensor, facts: Tensor) -> Tensor:
        """tokens (B, L, D), facts (B, 9) int64 → (fields,) cross-entropies of the fields, read from the mean tokens."""
        means = self.norm(tokens).unflatten(1, (self.means, -1)).mean(2).flatten(1)
        logits = self.to_codes(means).float().split(self.sizes, dim=1)
        return torch.stack([F.cross_entropy(x, facts[:, n]) for x, n in zip(logits, self.numbers, strict=True)])


def _asked(logits: Tensor, wanted: Tensor) -> Tensor:
    """Mean cross-entropy over the places where `wanted` is not -1; 0 where there are none."""
    each = F.cross_entropy(logits.flatten(0, -2), wanted.flatten(), ignore_index=-1, reduction="sum")
    return each / (wanted >= 0).sum().clamp(min=1)


class TruthProbe(nn.Module):
    """Reads from the middle of a language model whether the words of a question hold of the clip. Not in the model.

    A "no" in the end tells a network from nothing little of which word was wrong: without this loss the small model
    guessed at "is there a red star?" after 600 steps of training, with it comparing was learned in 200.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_truth = nn.Linear(width, 1)

    def loss(self, hidden: Tensor, mentions: Tensor) -> Tensor:
        """hidden (B·Q, L, d), mentions (B·Q, L) as in `Rows` → mean cross-entropy of the labelled words, or 0."""
        places = mentions != IGNORE_INDEX
        said = self.to_truth(hidden[places].float()).squeeze(-1)
        total = F.binary_cross_entropy_with_logits(said, mentions[places], reduction="sum")
        return total / places.sum().clamp(min=1)  # a small batch may hold none

    @staticmethod
    @contextmanager
    def listening(network: CausalLanguageModel) -> Iterator[list[Tensor]]:
        """What the block in the middle of the network puts out, call by call."""
        heard: list[Tensor] = []
        layers = network.model.layers
        hook = layers[len(layers) // 2 - 1].register_forward_hook(lambda _block, _input, output: heard.append(output))
        try:
            yield heard
        finally:
            hook.remove()
