"""The recipe itself, against the check values that its description prints."""

import numpy as np
import pytest
from recipe import draw, noise, waves

PRINTED = [
    ("norm.weight", (4,), 1, [1.048528, 0.940089, 1.057642, 1.085315]),
    ("fc.weight", (2, 3), 1, [0.1880911, -0.3966802, 0.4582758, 0.613711, -0.1907214, 0.3377624]),
    ("fc.bias", (3,), 7, [-0.09940584, -0.08980544, 0.0002449726]),
    (
        "image_encoder.model.patch_embed.0.rbr_conv.0.conv.weight",
        (64, 3, 3, 3),
        1234,
        [0.02916521, -0.03322326, 0.1375752],
    ),
    ("image_encoder.model.network.0.0.layer_scale", (64, 1, 1), 1234, [0.16397065, 0.08445188, 0.23147678]),
    (
        "image_encoder.model.network.7.0.token_mixer.qkv.weight",
        (1536, 512),
        1234,
        [-0.08744609, -0.01188995, -0.0083942],
    ),
    ("text_encoder.embedding_layer.weight", (49408, 512), 1234, [0.18367755, -0.13546795, 0.86876386]),
    (
        "text_encoder.positional_embedding.pos_embed.pos_embed",
        (1, 1, 77, 512),
        1234,
        [0.36331093, -0.23629226, -0.03533201],
    ),
    ("image_encoder.model.network.0.0.temporal.conv.weight", (64, 1, 3), 1234, [-0.03945969, -0.07753695, -0.01448567]),
    ("image_encoder.model.network.6.temporal_embedding", (1, 8, 512), 1234, [0.3824307, -0.11897181, -0.15322554]),
]


@pytest.mark.parametrize(("key", "shape", "seed", "values"), PRINTED)
def test_drawn_tensors_are_those_of_the_recipe(
    key: str, shape: tuple[int, ...], seed: int, values: list[float]
) -> None:
    np.testing.assert_allclose(draw(key, shape, seed).ravel()[: len(values)], values, rtol=1e-6)


def test_inputs_are_those_of_the_recipe() -> None:
    np.testing.assert_allclose(noise(7).flatten()[:3], [0.0763082877, 0.7799187899, 0.4384092391], rtol=1e-6)
    np.testing.assert_allclose(waves(8, 1, 1).flatten()[:3], [0.3773346841, 0.3685633242, 0.3602129519], rtol=1e-6)
    np.testing.assert_allclose(waves(9, 1, 8).flatten()[:3], [0.6287034750, 0.6254438162, 0.6223728061], rtol=1e-6)
