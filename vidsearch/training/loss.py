"""Video-text contrast (VTC): the loss of MobileViCLIP (arXiv 2508.07312) and of InternVideo2's framework."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE_FLOOR = 0.01


def clip_loss(videos: Tensor, texts: Tensor, temperature: Tensor, positives: Tensor) -> Tensor:
    """Symmetric InfoNCE: ½ (cross-entropy over the rows + over the columns) of videos @ textsᵀ / temperature.

    videos, texts (B, E) of unit length; positives (B, B) bool: text j is true of video i. The targets of a row (and of
    a column) are uniform over its positives; with one id a video, `equal_ids`, it is the framework's loss.
    """
    logits = videos @ texts.T / temperature
    rows = positives.to(logits.dtype)
    by_video = F.cross_entropy(logits, rows / rows.sum(1, keepdim=True))
    by_text = F.cross_entropy(logits.T, rows.T / rows.T.sum(1, keepdim=True))
    return 0.5 * (by_video + by_text)


def equal_ids(ids: Tensor) -> Tensor:
    """ids (B,) → which pairs show the same video, (B, B) bool."""
    return ids[:, None] == ids[None, :]


@torch.no_grad()
def clamp_temperature(temperature: Tensor, floor: float = TEMPERATURE_FLOOR) -> None:
    """Clamp the learnable temperature from below, in place; before each step (spec: 1/100)."""
    temperature.clamp_(min=floor)
