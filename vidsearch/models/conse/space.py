"""The space in which clips and queries meet: ConSE (Norouzi et al., ICLR 2014, section 3, equation 2), with a centre.

A clip is the mean of the class vectors, weighed by the probabilities that the classifier gives its frames; a query is
its sentence vector. Two things are ours, and no clip was looked at for either:

- Sentence vectors have much in common with each other: their mean over the classes is taken from all of them.
- A cosine says little across queries: "a lion" is near to a class, "arm wrestling" to none. So that one scale of
  relevance serves all queries, a query's cosines are divided by the largest that any single class would have. A scale
  of a query leaves the order of its answers as it was. As vectors have unit length, the scale is kept by one more
  value: (a · q, √(1 − a²)) times (clip, 0) is a · cosine.

Axis letters: B clips or texts, T frames, K classes, W width of sentence vectors, E = W + 1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

REACH_FLOOR = 0.25  # nearness to the nearest class below which a query is scaled no further; 1 in 20 real ones


def clips_in_space(logits: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """Scores (B, T, K) of frames, and centred class vectors (K, W) → (B, E), rows of unit length."""
    probabilities = torch.softmax(logits.float() / temperature, dim=-1).mean(1)  # (B, K)
    return F.pad(F.normalize(probabilities @ classes, dim=-1), (0, 1))


def queries_in_space(sentences: Tensor, classes: Tensor, centre: Tensor) -> Tensor:
    """Sentence vectors (B, W) → (B, E), rows of unit length."""
    x = F.normalize(sentences - centre, dim=-1)
    reach = (x @ F.normalize(classes, dim=-1).T).amax(1, keepdim=True)  # (B, 1)
    scale = REACH_FLOOR / reach.clamp_min(REACH_FLOOR)
    return torch.cat([x * scale, (1 - scale**2).sqrt()], dim=1)
