"""Maps that read from a network's features what it should know. They add a loss while training; no model holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

    def token_loss(self, tokens: Tensor, labels: Sequence[TokenLabels], *, moving: bool) -> Tensor:
        """tokens (B, N, P, D), one TokenLabels of (N, P) a clip; without `moving` nothing that takes two frames."""
        outputs = self.to_token(self.norm(tokens)).float().split(list(LABEL_SIZES.values()), dim=-1)
        predicted = dict(zip(LABEL_SIZES, outputs, strict=True))
        targets = {
            name: torch.from_numpy(np.stack([getattr(each, name) for each in labels])).to(tokens.device)
            for name in LABEL_SIZES
        }
        things = (targets["colour"] > 0).unsqueeze(-1).float()
        weight = 1 + 4 * things.flatten()  # most tokens lie on nothing
        loss = tokens.new_zeros(())
        for name in ("colour", "shape"):
            each = F.cross_entropy(predicted[name].flatten(0, -2), targets[name].flatten(), reduction="none")
            loss = loss + (each * weight).sum() / weight.sum()
        for name in ("places", "rates") if moving else ("places",):
            loss = loss + ((predicted[name] - targets[name]).abs() * things).sum() / things.sum().clamp(min=1)
        loss = loss + _TURNS_WEIGHT * _labelled_loss(predicted["sector"], targets["sector"])
        return loss + _TURNS_WEIGHT * _turn_loss(predicted, targets) if moving else loss

    def frame_loss(self, tokens: Tensor, targets: Sequence[Array], *, moving: bool) -> Tensor:
        """tokens (B, N, P, D), `frame_targets` of each clip: what a linear map reads from a frame's mean."""
        predicted = self.to_frame(self.norm(tokens).mean(2)).float()
        wanted = torch.from_numpy(np.stack(targets)).to(predicted.device)
        seen = wanted[..., 5:6].expand_as(wanted).clone()
        seen[..., 5] = 1
        count = FRAME_TARGETS if moving else STILL_TARGETS
        return ((predicted - wanted).abs() * seen)[..., :count].sum(-1).mean()

    def meaning_losses(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """tokens (B, L, D), labels (B, 9) int64 → (fields,) cross-entropies, read from the means of the tokens."""
        means = self.norm(tokens).unflatten(1, (self.means, -1)).mean(2).flatten(1)
        logits = self.to_codes(means).float().split(self.sizes, dim=1)
        return torch.stack([F.cross_entropy(x, labels[:, n]) for x, n in zip(logits, self.numbers, strict=True)])


def _turn_loss(predicted: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Of the sector before, and of the sense of a turn; the sense of what does not turn counts less."""
    turning = targets["sector"] >= 0
    return (
        0.5 * _labelled_loss(predicted["before"], targets["before"])
        + _labelled_loss(predicted["sense"], targets["sense"].where(turning, -1))
        + 0.3 * _labelled_loss(predicted["sense"], targets["sense"].where(~turning, -1))
    )


def _labelled_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the places where the label is not -1; 0 if there are none."""
    each = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=-1, reduction="sum")
    return each / (labels >= 0).sum().clamp(min=1)


class TruthProbe(nn.Module):
    """Reads from the middle of a language model whether the words of a question hold of the clip. Not in the model.

    The answer "no" alone tells a network that is trained from scratch little of which word was wrong: without this loss
    the small model still guessed at "is there a red star?" after 600 steps of training; with it 200 were enough.
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
