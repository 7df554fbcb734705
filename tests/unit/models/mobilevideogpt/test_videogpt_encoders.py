"""The image tower, VideoMamba and ET-Proj, as small seeded networks against their definitions."""

from __future__ import annotations

import itertools
from typing import TypeVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vidsearch.models.mobilevideogpt.parts import ClipImageTower, TokenProjector, VideoMamba

TOWER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 16,
    "patch_size": 4,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
ENCODER = {"depth": 2, "embed_dim": 16, "img_size": 32, "patch_size": 8, "num_frames": 4, "dt_rank": 1, "d_state": 4}

Network = TypeVar("Network", bound=torch.nn.Module)


def randomised(network: Network) -> Network:
    """Every parameter random, none left at zero or one, in float64."""
    generator = torch.Generator().manual_seed(0)
    network = network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return network


@pytest.fixture
def tower() -> ClipImageTower:
    return randomised(ClipImageTower(**TOWER))


@pytest.fixture
def encoder() -> VideoMamba:
    return randomised(VideoMamba(**ENCODER))


def normed(x: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-5) * norm.weight + norm.bias


def test_image_tower_is_a_pre_norm_transformer(tower: ClipImageTower) -> None:
    """CLIP written out once more from its definition, without the library's attention."""
    pixels = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    network = tower.vision_model
    patches = F.unfold(pixels, 4, stride=4).mT @ network.embeddings.patch_embedding.weight.flatten(1).T
    x = torch.cat((network.embeddings.class_embedding.expand(2, 1, -1), patches), 1)
    x = normed(x + network.embeddings.position_embedding.weight, network.pre_layrnorm)
    for block in network.encoder.layers[:-1]:
        y = normed(x, block.layer_norm1)
        q, k, v = (getattr(block.self_attn, f"{name}_proj")(y).view(2, 17, 4, 8) for name in "qkv")
        attention = torch.softmax(torch.einsum("nqhd,nkhd->nhqk", q, k) / 8**0.5, dim=-1)
        x = x + block.self_attn.out_proj(torch.einsum("nhqk,nkhd->nqhd", attention, v).reshape(2, 17, 32))
        y = block.mlp.fc1(normed(x, block.layer_norm2))
        x = x + block.mlp.fc2(y * torch.sigmoid(1.702 * y))
    torch.testing.assert_close(tower(pixels), x[:, 1:])


def test_last_block_and_post_norm_are_never_run(tower: ClipImageTower) -> None:
    pixels = torch.randn(1, 3, 16, 16, dtype=torch.float64)
    expected = tower(pixels)
    with torch.no_grad():
        for parameter in (
            *tower.vision_model.encoder.layers[-1].parameters(),
            *tower.vision_model.post_layernorm.parameters(),
        ):
            parameter.fill_(float("nan"))
    assert torch.equal(tower(pixels), expected)


def test_another_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="quick_gelu"):
        ClipImageTower(**{**TOWER, "hidden_act": "gelu"})


def test_video_embedding_puts_the_class_token_first_and_outside_of_time(encoder: VideoMamba) -> None:
    clip = torch.randn(2, 4, 3, 32, 32, dtype=torch.float64)
    network = encoder.vision_encoder
    embedded = network.embed(clip)
    torch.testing.assert_close(embedded[:, 0], (network.cls_token + network.pos_embed[:, :1]).expand(2, 1, -1)[:, 0])
    kernel = network.patch_embed.proj.weight.flatten(1)
    for frame, patch in itertools.product(range(4), (0, 5, 15)):
        row, column = divmod(patch, 4)
        window = clip[:, frame, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].flatten(1)
        expected = window @ kernel.T + network.patch_embed.proj.bias
        expected = expected + network.pos_embed[:, 1 + patch] + network.temporal_pos_embedding[:, frame]
        torch.testing.assert_close(embedded[:, 1 + 16 * frame + patch], expected)


def test_video_blocks_add_to_a_residual_stream(encoder: VideoMamba) -> None:
    clip = torch.randn(1, 4, 3, 32, 32, dtype=torch.float64)
    network = encoder.vision_encoder

    def rms(x: Tensor, weight: Tensor) -> Tensor:
        return x / torch.sqrt(x.square().mean(-1, keepdim=True) + 1e-5) * weight

    x = network.embed(clip)
    for block in network.layers:
        x = x + block.mixer(rms(x, block.norm.weight))
    torch.testing.assert_close(encoder.encode(clip), rms(x, network.norm.weight))
    assert torch.equal(encoder(clip), encoder.encode(clip)[:, 1:])


def test_a_still_picture_has_no_place_in_time(encoder: VideoMamba) -> None:
    picture = torch.randn(1, 1, 3, 32, 32, dtype=torch.float64)
    expected = encoder(picture)
    with torch.no_grad():
        encoder.vision_encoder.temporal_pos_embedding.add_(1)
    assert torch.equal(encoder(picture), expected)
    assert expected.shape == (1, 16, 16)


def test_another_number_of_frames_is_refused(encoder: VideoMamba) -> None:
    with pytest.raises(ValueError, match="3 frames"):
        encoder(torch.zeros(1, 3, 3, 32, 32, dtype=torch.float64))


def test_a_longer_tubelet_is_refused() -> None:
    with pytest.raises(ValueError, match="tubelet"):
        VideoMamba(**ENCODER, tubelet=2)


def pooled_last(projector: TokenProjector, tokens: Tensor) -> Tensor:
    """ET-Proj in the paper's order: the whole MLP on every token, then pooling, then the positional module."""
    grid = projector.mlp.mlp(tokens).unflatten(1, (14, 14)).permute(0, 3, 1, 2)
    pooled = F.adaptive_avg_pool2d(grid, projector.side)
    kernel = projector.peg.peg[0]
    placed = pooled + F.conv2d(pooled, kernel.weight, kernel.bias, padding=1, groups=len(kernel.weight))
    return placed.flatten(2).mT


@pytest.mark.parametrize(("in_dim", "tokens_out"), [(576, 49), (768, 144), (40, 144)])
def test_pooling_first_gives_what_pooling_last_gives(in_dim: int, tokens_out: int) -> None:
    projector = randomised(TokenProjector(in_dim, 24))
    tokens = torch.randn(2, 196, in_dim, dtype=torch.float64)
    made = projector(tokens)
    assert made.shape == (2, tokens_out, 24)
    torch.testing.assert_close(made, pooled_last(projector, tokens))


def test_a_video_chunk_is_read_as_one_square_of_four_frames() -> None:
    """Which tokens an output of the video projector averages (docs/networks.md): n = 49 f + 7 r + c, R = 7 f + r."""
    projector = randomised(TokenProjector(576, 8))
    with torch.no_grad():
        for parameter in projector.peg.parameters():
            parameter.zero_()
    tokens = torch.randn(1, 196, 576, dtype=torch.float64)
    hidden = projector.mlp.mlp(tokens)[0]
    made = projector(tokens)[0]
    for i, j in itertools.product(range(7), range(7)):
        if j <= 2:
            cells = list(itertools.product((4 * i, 4 * i + 2), (2 * j, 2 * j + 1)))
        elif j == 3:
            cells = [(4 * i, 6), (4 * i + 1, 0), (4 * i + 2, 6), (4 * i + 3, 0)]
        else:
            cells = list(itertools.product((4 * i + 1, 4 * i + 3), (2 * j - 7, 2 * j - 6)))
        torch.testing.assert_close(made[7 * i + j], hidden[[7 * row + column for row, column in cells]].mean(0))
