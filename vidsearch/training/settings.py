"""The hyperparameters of a training run, plain values; the published ones for the published sizes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Defaults: MobileViCLIP (arXiv 2508.07312) and the configuration of its programs; batch per process.

    `steps` None means `epochs` over the data; the synthetic world has no epochs and needs `steps`.
    """

    model: str
    batch: int = 256
    learning_rate: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.2
    epochs: int = 3
    warm_up_epochs: int = 1
    steps: int | None = None
    warm_up_steps: int | None = None
    initial_temperature: float = 0.01
    train_text: bool = False
    from_scratch: bool = False  # fresh weights, with an initialisation that lets a small network start
    aux_loss_weight: float = 0.0  # falls to 0 over the run; only the world has its labels
    word_steps: int = 0  # of `text_pretraining.pretrain_text`, before the run
    crop_part: tuple[float, float] = (0.5, 1.0)
    flip: bool = False  # left and right are part of what words say
    seed: int = 42


_NANO = TrainSettings(
    model="mobileviclip-nano",
    batch=96,
    learning_rate=2e-3,
    weight_decay=0.05,
    steps=1650,
    warm_up_steps=100,
    initial_temperature=0.07,
    train_text=True,
    from_scratch=True,
    aux_loss_weight=0.3,
    word_steps=800,
)


def default_settings(model: str) -> TrainSettings:
    """The settings a model is trained with unless the command says otherwise."""
    return _NANO if model == _NANO.model else TrainSettings(model=model)
