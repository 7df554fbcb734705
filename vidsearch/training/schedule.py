"""Learning-rate schedule and parameter groups, as in the training of MobileViCLIP."""

from __future__ import annotations

import math

from torch import nn

from vidsearch.training.trainer import ParameterGroup

FLOOR = 0.01  # of the learning rate, at both ends


def lr_factor(step: int, steps: int, warm_up: int) -> float:
    """The learning rate's factor at `step` of `steps`: linear warm-up, then half a cosine, never below the floor."""
    if step < warm_up:
        return max(FLOOR, step / warm_up)
    rest = max(1, steps - warm_up)
    return max(FLOOR, 0.5 * (1 + math.cos(math.pi * (step - warm_up) / rest)))


def parameter_groups(network: nn.Module, lr: float, weight_decay: float) -> list[ParameterGroup]:
    """Trained parameters in two groups: no decay for biases, other tensors of one axis, channel scales and `temp`."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        small = parameter.squeeze().ndim <= 1 or name.endswith((".bias", "temp"))
        (free if small else decayed).append(parameter)
    return [ParameterGroup(decayed, lr, weight_decay), ParameterGroup(free, lr, 0.0)]
