"""What a correct network does whatever its weights: tiny networks, seeded, nothing stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from recipe import fill
from torch import Tensor

from vidsearch.models.mobileviclip.config import (
    ABLATION,
    ImageConfig,
    MobileCLIPConfig,
    MobileViCLIPConfig,
    Preprocessing,
    TemporalConfig,
    TextConfig,
)
from vidsearch.models.mobileviclip.load import build_from
from vidsearch.models.mobileviclip.model import MobileCLIP, MobileViCLIP

# Widths that do not double (gcd groups), several blocks, both kinds of text layers.
IMAGE = ImageConfig(widths=(16, 32, 48, 96), depths=(2, 2, 2, 2))
TEXT = TextConfig(width=32, heads=2, ffn_width=64, layers=1, conv_blocks=1, vocabulary_rows=100, context=20)
INPUT = Preprocessing(64, "squash", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), 8)
CLIP = MobileCLIPConfig("tiny-clip", IMAGE, TEXT, INPUT, embed_dim=24)
VIDEO = MobileViCLIPConfig("tiny-video", IMAGE, TEXT, INPUT, embed_dim=24)
# Float32: two ways to the same sums. Vectors have a standard deviation near 1, the smallest real difference is 1e-3.
CLOSE, DIFFERENT = 2e-5, 1e-3
OPTIONS = [
    TemporalConfig(),
    TemporalConfig(tpe_place="before"),
    TemporalConfig(tpe_place="block"),
    TemporalConfig(kernel=5, conv_bias=False),
    TemporalConfig(frames=4, kernel=5),
    TemporalConfig(frames=2, kernel=5),
    *ABLATION.values(),
]


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def video_network(temporal: TemporalConfig | None = None, seed: int = 1) -> MobileViCLIP:
    network = build_from(replace(VIDEO, temporal=temporal or TemporalConfig()))
    assert isinstance(network, MobileViCLIP)
    fill(network, seed)
    for name, parameter in network.named_parameters():
        if ".temporal." in name:
            parameter.mul_(2)  # the recipe keeps time faint; here it shall show
    return network


def clips(count: int, frames: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(count, frames, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def vectors(network: MobileViCLIP, x: Tensor) -> Tensor:
    return network.encode_video(x, normalize=False)


def close(a: Tensor, b: Tensor, allowed: float = CLOSE) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=allowed)


def differ(a: Tensor, b: Tensor) -> None:
    assert (a - b).abs().max() > DIFFERENT


@pytest.mark.parametrize("temporal", OPTIONS)
def test_folded_equals_unfolded_at_every_frame(temporal: TemporalConfig) -> None:
    network = video_network(temporal)
    x = clips(2, temporal.frames)
    frames = network.encode_frames(x)
    close(network.reparameterize().encode_frames(x), frames)
    fused = network.fuse()
    close(fused.encode_frames(x), frames)
    rows_last = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, x.shape[:2])
    close(fused.to(memory_format=torch.channels_last).encode_frames(rows_last), frames)


def test_folded_in_double_precision_equals_unfolded_to_rounding() -> None:
    network = video_network().double()
    x = clips(1).double()
    close(vectors(network.fuse(), x), vectors(network, x), 1e-12)


def test_folding_leaves_the_network_as_it_was() -> None:
    network = video_network()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    network.fuse()
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any(parameter.requires_grad for parameter in network.reparameterize().parameters())


def test_folding_twice_changes_nothing() -> None:
    folded = video_network().reparameterize()
    again = folded.reparameterize()
    assert {key: tensor.shape for key, tensor in again.state_dict().items()} == {
        key: tensor.shape for key, tensor in folded.state_dict().items()
    }
    close(vectors(again.fuse(), clips(1)), vectors(folded, clips(1)))


def test_a_still_clip_is_its_picture_where_nothing_happens_in_time() -> None:
    image, video = build_from(CLIP), video_network()
    assert isinstance(image, MobileCLIP)
    fill(image, seed=1)
    still = clips(2, frames=1)
    for name, parameter in video.named_parameters():
        if "temporal" in name and "norm" not in name:
            parameter.zero_()
    close(vectors(video, still.expand(-1, 8, -1, -1, -1)), image.encode_image(still[:, 0], normalize=False))


@pytest.mark.parametrize("name", ["baseline", "attention"])
def test_without_temporal_weights_order_means_nothing(name: str) -> None:
    network = video_network(ABLATION[name])
    x = clips(2)
    close(vectors(network, x[:, torch.randperm(8)]), vectors(network, x))


@pytest.mark.parametrize("name", ["repmixer", "attention+tpe", "repmixer+attention+tpe"])
def test_with_temporal_weights_order_matters(name: str) -> None:
    network = video_network(ABLATION[name])
    x = clips(2)
    differ(vectors(network, x.flip(1)), vectors(network, x))


def test_joint_attention_sees_other_frames_and_per_frame_attention_does_not() -> None:
    x = clips(1)
    other = torch.cat([x[:, :7], clips(1, 1, seed=5)], 1)  # another last frame
    apart = video_network(ABLATION["baseline"])
    close(apart.encode_frames(other)[:, :7], apart.encode_frames(x)[:, :7])
    joint = video_network(ABLATION["attention"])
    assert (joint.encode_frames(other)[:, :7] - joint.encode_frames(x)[:, :7]).abs().amax((0, 2)).min() > CLOSE


def test_a_clip_has_one_vector_whatever_its_batch() -> None:
    network = video_network()
    x = clips(3)
    close(vectors(network, x), torch.cat([vectors(network, clip[None]) for clip in x]))


def test_time_mirrored_everywhere_gives_the_same_vector() -> None:
    network, mirrored = video_network(), video_network()
    for name, parameter in mirrored.named_parameters():
        if name.endswith("temporal.conv.weight"):
            parameter.copy_(parameter.flip(2))
        if name.endswith("temporal_embedding"):
            parameter.copy_(parameter.flip(1))
    x = clips(2)
    close(vectors(mirrored, x.flip(1)), vectors(network, x))


def test_a_baseline_takes_any_number_of_frames_and_the_others_only_theirs() -> None:
    assert vectors(video_network(ABLATION["baseline"]), clips(1, 3)).shape == (1, 24)
    with pytest.raises(ValueError, match="takes clips of 8 frames, not 3"):
        vectors(video_network(), clips(1, 3))


def test_a_picture_is_a_clip_of_equal_frames() -> None:
    network = video_network()
    picture = clips(2, 1)
    close(network.encode_image(picture[:, 0]), network.encode_video(picture.expand(-1, 8, -1, -1, -1)))


def test_vectors_have_unit_length_on_demand() -> None:
    network = video_network()
    x = clips(2)
    raw = vectors(network, x)
    close(network.encode_video(x), raw / raw.norm(dim=1, keepdim=True), 1e-6)
    assert network.to(torch.bfloat16).encode_video(x.bfloat16()).norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-6)


@pytest.mark.parametrize("frames", [8, 2])
def test_bfloat16_in_channels_last_keeps_the_direction(frames: int) -> None:
    network = video_network(TemporalConfig(frames=frames))
    x = clips(2, frames)
    fast = network.fuse().to(torch.bfloat16, memory_format=torch.channels_last)
    rows_last = x.flatten(0, 1).bfloat16().contiguous(memory_format=torch.channels_last).unflatten(0, x.shape[:2])
    assert torch.cosine_similarity(fast.encode_video(rows_last), network.encode_video(x)).min() > 0.9995
