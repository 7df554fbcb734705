"""The stages of the training of Mobile-VideoGPT and their hyperparameters, plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vidsearch.training.ask.lora import LoraSettings

Selection = Literal["scored", "uniform"]


@dataclass(frozen=True, slots=True)
class StageSettings:
    """`batch` clips a step with `questions` each (none for the encoders); warm-up is a share of the steps."""

    name: str  # one of `stages.STAGES`
    steps: int
    batch: int
    learning_rate: float
    questions: int = 6
    warm_up: float = 0.03
    projector_lr: float | None = None  # of both projectors, where it is another
    encoder_lr: float | None = None  # of the video encoder while tuning; as published it is frozen
    probe_weight: float = 0.0  # of the loss of the video encoder's own stage, while it learns on in tuning
    weight_decay: float = 0.0
    muon_lr: float | None = None  # of Muon, which then trains the matrices of the blocks


# The released programs: three stages on encoders and a language model that others pre-trained; batch × accumulation.
PUBLISHED_STAGES = (
    StageSettings("image-projector", steps=0, batch=16, learning_rate=1e-3, questions=1),
    StageSettings("video-projector", steps=0, batch=32, learning_rate=1e-3, questions=1),
    StageSettings("tuning", steps=0, batch=16, learning_rate=2e-4, questions=1, projector_lr=2e-5),
)

# The small model is trained from scratch: in earlier stages it learns to see, and the language of its world.
NANO_STAGES = (
    StageSettings("image-encoder", steps=2500, batch=64, learning_rate=1.5e-3, weight_decay=0.05, muon_lr=2e-3),
    StageSettings("coarse-video-encoder", steps=3200, batch=64, learning_rate=2e-3, weight_decay=0.05, muon_lr=2.5e-3),
    StageSettings("video-encoder", steps=3600, batch=64, learning_rate=1.5e-3, weight_decay=0.05, muon_lr=2e-3),
    StageSettings("language", steps=1000, batch=32, learning_rate=2e-3, muon_lr=4e-3),
    StageSettings("image-projector", steps=150, batch=24, learning_rate=2e-3),
    StageSettings("video-projector", steps=150, batch=24, learning_rate=2e-3),
    StageSettings(
        "tuning",
        steps=3600,
        batch=24,
        learning_rate=1.5e-3,
        questions=8,
        projector_lr=1.5e-3,
        encoder_lr=5e-4,
        probe_weight=0.15,
    ),
)


@dataclass(frozen=True, slots=True)
class AskSettings:
    """One run. `selection`: which frames reach the video encoder, "scored" as published."""

    model: str
    stages: tuple[StageSettings, ...] = PUBLISHED_STAGES
    lora: LoraSettings = field(default_factory=LoraSettings)
    selection: Selection = "scored"
    coarse_patch: int | None = None  # of the video encoder in its coarse stage, which the next one refines
    from_scratch: bool = False
    truth_weight: float = 0.0  # of the loss of `TruthProbe`, beside that of the answers
    betas: tuple[float, float] = (0.9, 0.98)
    seed: int = 42


_NANO = AskSettings(
    "mobilevideogpt-nano",
    NANO_STAGES,
    LoraSettings(rank=64, alpha=128, dropout=0.0),
    coarse_patch=16,
    from_scratch=True,
    truth_weight=0.3,
)


def default_settings(model: str) -> AskSettings:
    """The settings a model is trained with unless the command says otherwise."""
    return _NANO if model == _NANO.model else AskSettings(model)
