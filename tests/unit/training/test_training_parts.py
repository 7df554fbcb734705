"""Loss, schedule, parameter groups and the reader, each against a plain computation."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from vidsearch.models.mobileviclip.config import CONFIGS
from vidsearch.training.auxiliary_loss import AttributeClassifier
from vidsearch.training.loss import clamp_temperature, clip_loss, equal_ids
from vidsearch.training.nano import fresh_nano, vocabulary
from vidsearch.training.schedule import lr_factor, parameter_groups
from vidsearch.training.settings import default_settings
from vidsearch.training.world.scene import FIELD_SIZES


def _unit(rows: int, width: int, seed: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def _loop_loss(videos: np.ndarray, texts: np.ndarray, temperature: float, positives: np.ndarray) -> float:
    """The definition, entry by entry."""
    total = 0.0
    for left, right, among in ((videos, texts, positives), (texts, videos, positives.T)):
        for i in range(len(left)):
            logits = [float(left[i] @ right[j]) / temperature for j in range(len(right))]
            norm = math.log(sum(math.exp(logit) for logit in logits))
            right_ones = [logit - norm for logit, yes in zip(logits, among[i], strict=True) if yes]
            total -= sum(right_ones) / len(right_ones) / len(left) / 2
    return total


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4], [0, 0, 1, 2, 1]])
def test_contrast_equals_its_definition(ids: list[int]) -> None:
    videos, texts = _unit(5, 7, 1), _unit(5, 7, 2)
    positives = equal_ids(torch.tensor(ids))
    loss = clip_loss(videos, texts, torch.tensor(0.07), positives)
    assert loss.item() == pytest.approx(_loop_loss(videos.numpy(), texts.numpy(), 0.07, positives.numpy()), rel=1e-5)


def test_contrast_takes_captions_that_are_true_of_several_clips() -> None:
    videos, texts = _unit(4, 6, 3), _unit(4, 6, 4)
    positives = torch.eye(4, dtype=torch.bool)
    positives[0, 1] = True  # not symmetric: text 1 is also true of video 0
    loss = clip_loss(videos, texts, torch.tensor(0.2), positives)
    assert loss.item() == pytest.approx(_loop_loss(videos.numpy(), texts.numpy(), 0.2, positives.numpy()), rel=1e-5)


def test_the_temperature_has_a_floor() -> None:
    temperature = torch.nn.Parameter(torch.tensor(0.004))
    clamp_temperature(temperature)
    assert temperature.item() == pytest.approx(0.01)


def test_the_schedule_is_the_published_one() -> None:
    factors = [lr_factor(step, 300, 100) for step in range(300)]
    assert factors[0] == 0.01 and factors[50] == 0.5 and factors[100] == 1.0
    assert factors[200] == pytest.approx(0.5)
    assert factors[299] == 0.01  # the floor, not zero
    assert all(a >= b for a, b in pairwise(factors[100:]))
    assert lr_factor(0, 10, 0) == 1.0


def test_biases_norms_scales_and_temperature_do_not_decay() -> None:
    config = CONFIGS["mobileviclip-nano"]
    network = fresh_nano(config, 0, 0.07)  # type: ignore[arg-type]  # the nano config looks at clips
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    decayed, free = ([names[id(p)] for p in group.parameters] for group in parameter_groups(network, 1.0, 0.2))
    assert len(decayed) + len(free) == len(names)
    assert {"temp", "vision_encoder.network.0.0.layer_scale", "vision_encoder.network.7.0.norm.weight"} <= set(free)
    assert not [name for name in decayed if name.endswith("bias")]
    assert "vision_encoder.head.proj" in decayed and "text_encoder.embedding_layer.weight" in decayed


def test_a_frozen_text_encoder_is_in_no_group() -> None:
    network = fresh_nano(CONFIGS["mobileviclip-nano"], 0, 0.07)  # type: ignore[arg-type]  # the nano config looks at clips
    network.text_encoder.requires_grad_(False)
    trained = {id(p) for group in parameter_groups(network, 1.0, 0.2) for p in group.parameters}
    assert trained == {id(p) for p in [*network.vision_encoder.parameters(), network.temp]}


def test_published_sizes_have_the_published_settings() -> None:
    settings = default_settings("mobileviclip-small")
    assert (settings.learning_rate, settings.betas, settings.weight_decay) == (1e-5, (0.9, 0.98), 0.2)
    assert (settings.epochs, settings.warm_up_epochs, settings.batch, settings.seed) == (3, 1, 256, 42)
    assert not settings.train_text and not settings.flip and settings.aux_loss_weight == 0


def test_the_reader_counts_only_what_is_claimed() -> None:
    torch.manual_seed(0)
    reader = AttributeClassifier(12)
    vectors, attribute_labels = _unit(6, 12, 5), torch.zeros(6, len(FIELD_SIZES), dtype=torch.int64)
    vectors[0] *= 3  # so that it matters which rows count
    everything = torch.ones(6, len(FIELD_SIZES), dtype=torch.bool)
    part = everything.clone()
    part[2:, 0] = False
    logits = reader.to_codes(vectors * 12**0.5).split(FIELD_SIZES, 1)
    each = [-logit.log_softmax(1)[:, 0] for logit in logits]
    expected = each[0][:2].mean() + sum(loss.mean() for loss in each[1:])
    torch.testing.assert_close(reader.loss(vectors, attribute_labels, part), expected)
    assert not torch.isclose(reader.loss(vectors, attribute_labels, everything), expected)
    assert reader.loss(vectors, attribute_labels, ~everything).item() == 0


def test_the_word_table_covers_the_world() -> None:
    network = fresh_nano(CONFIGS["mobileviclip-nano"], 0, 0.07)  # type: ignore[arg-type]  # the nano config looks at clips
    rows = network.text_encoder.embedding_row
    assert sorted(rows[torch.tensor(vocabulary())].tolist()) == list(range(1, len(vocabulary()) + 1))
    assert int((rows > 0).sum()) == len(vocabulary())
    assert network.config.text.vocabulary_rows == len(vocabulary()) + 1
    assert CONFIGS["mobileviclip-nano"].text.vocabulary_rows == len(vocabulary()) + 1  # what `build` makes
