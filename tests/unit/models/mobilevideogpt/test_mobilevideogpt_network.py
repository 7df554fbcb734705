"""The whole network, small: layout of the visual tokens, short clips, loading; and the published sizes, counted."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from vidsearch.models.clip_vit.config import ClipImageConfig
from vidsearch.models.deferred import init_empty_weights
from vidsearch.models.load import build
from vidsearch.models.mobilevideogpt.config import IMAGE_TOKEN, MobileVideoGPTConfig
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.models.mobilevideogpt.pixels import pad_frames
from vidsearch.models.qwen2.config import LanguageModelConfig
from vidsearch.models.videomamba.config import VideoMambaConfig

SMALL = MobileVideoGPTConfig(
    ClipImageConfig(32, 48, 2, 4, image_size=56, patch_size=4),
    VideoMambaConfig(depth=1, embed_dim=16, img_size=56, patch_size=4, dt_rank=1, d_state=2),
    LanguageModelConfig(60, 24, 32, 1, 4, 2),
)


@pytest.fixture(scope="module")
def network() -> MobileVideoGPT:
    torch.manual_seed(0)
    return MobileVideoGPT(SMALL).eval().requires_grad_(False)


@pytest.fixture
def clip() -> tuple[Tensor, Tensor]:
    """Image-side and video-side pixels of 16 frames."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(16, 3, 56, 56, generator=generator), torch.randn(16, 3, 56, 56, generator=generator)


def test_image_tokens_come_first_and_of_every_frame(network: MobileVideoGPT, clip: tuple[Tensor, Tensor]) -> None:
    images, frames = clip
    visual = network.encode_clip(images, frames)
    assert visual.shape == (1, 16 * 144 + 2 * 49, 24)
    features = network.image_tower(images)
    for frame in (0, 7, 8, 15):
        expected = network.model.image_mm_projector(features[frame : frame + 1])[0]
        torch.testing.assert_close(visual[0, 144 * frame : 144 * (frame + 1)], expected, atol=1e-5, rtol=1e-4)


def test_chosen_frames_of_both_chunks_are_one_clip(network: MobileVideoGPT, clip: tuple[Tensor, Tensor]) -> None:
    images, frames = clip
    chosen = network.keyframes(network.image_tower(images)).tolist()
    assert [frame // 8 for frame in chosen] == [0] * 4 + [1] * 4
    assert chosen == sorted(chosen)
    visual = network.encode_clip(images, frames)

    unseen = frames.clone()
    unseen[[f for f in range(16) if f not in chosen]] = 0
    assert torch.equal(network.encode_clip(images, unseen), visual)
    seen = frames.clone()
    seen[chosen[0]] = 0
    changed = network.encode_clip(images, seen)
    assert torch.equal(changed[:, : 16 * 144], visual[:, : 16 * 144])
    assert not torch.allclose(changed[:, -49:], visual[:, -49:])  # the other chunk: the encoder sees one clip


def test_padding_is_encoded_once_and_gives_what_encoding_each_gives(
    network: MobileVideoGPT, clip: tuple[Tensor, Tensor]
) -> None:
    padded = pad_frames(clip[0][:3], 16)
    pictures: list[int] = []
    hook = network.image_tower.register_forward_hook(lambda _, inputs, __: pictures.append(len(inputs[0])))
    features = network.image_features(padded)
    hook.remove()
    assert pictures == [4]
    torch.testing.assert_close(features, network.image_tower(padded), atol=1e-5, rtol=1e-4)
    assert network.keyframes(features).tolist()[4:] == [8, 9, 10, 11]  # all equal: the earlier ones


def test_the_run_of_placeholders_gives_way_to_the_visual_tokens(network: MobileVideoGPT) -> None:
    visual = torch.randn(1, 5, 24)
    table = network.model.embed_tokens
    for run in (1, 16):
        ids = torch.tensor([4, 9] + [IMAGE_TOKEN] * run + [7])
        made = network.embed_prompt(ids, visual)
        assert torch.equal(made[0], torch.cat((table.weight[[4, 9]], visual[0], table.weight[[7]])))


@pytest.mark.parametrize("ids", [[1, 2, 3], [IMAGE_TOKEN, 2, IMAGE_TOKEN]])
def test_a_prompt_without_one_run_is_refused(network: MobileVideoGPT, ids: list[int]) -> None:
    with pytest.raises(ValueError, match="one run"):
        network.embed_prompt(torch.tensor(ids), torch.zeros(1, 5, 24))


def test_a_question_is_answered_from_the_embeddings(network: MobileVideoGPT, clip: tuple[Tensor, Tensor]) -> None:
    visual = network.encode_clip(*clip)
    embedded = network.embed_prompt(torch.tensor([4, IMAGE_TOKEN, 7]), visual)
    cache = network.new_cache()
    first = list(network.generate(inputs_embeds=embedded, cache=cache, max_new_tokens=4))
    cache.crop(embedded.shape[1] - 1)  # the prompt and what was seen stay; a second question pays for its words
    assert list(network.generate(torch.tensor([[7]]), cache=cache, max_new_tokens=4)) == first


def test_the_image_tower_is_in_no_state_dict_but_goes_along(network: MobileVideoGPT) -> None:
    copy = MobileVideoGPT(SMALL)
    assert not [key for key in copy.state_dict() if "vision_model" in key]
    assert copy.double().image_tower.vision_model.pre_layrnorm.weight.dtype == torch.float64
    copy.load_state_dict(network.state_dict(), strict=True)


def test_a_file_of_another_size_is_refused_whole(network: MobileVideoGPT) -> None:
    state = dict(network.state_dict())
    del state["model.norm.weight"]
    with pytest.raises(RuntimeError, match=r"model\.norm\.weight"):
        MobileVideoGPT(SMALL).load_state_dict(state, strict=True)


def test_a_layout_that_does_not_fill_the_video_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="8 frames"):
        MobileVideoGPTConfig(keep=3)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "language", "whole", "digest"),
    [
        ("mobilevideogpt-0.5b", 494_032_768, 570_805_632, "247ec96a03f886ea"),
        ("mobilevideogpt-1.5b", 1_543_714_304, 1_624_475_648, "9b14263eaed69fb7"),
    ],
)
def test_published_sizes(name: str, language: int, whole: int, digest: str) -> None:
    """Parameter counts as published; the digest is of the published names and shapes, the image tower's among them."""
    network = build(name)
    visual = (network.model.vision_tower, network.model.mm_projector, network.model.image_mm_projector)
    assert parameters(network.model.vision_tower) == 73_941_504
    assert parameters(network) == whole
    assert parameters(network) - sum(map(parameters, visual)) == language
    tensors = [*network.state_dict().items(), *network.image_tower.state_dict().items()]
    lines = "\n".join(sorted(f"{key} {tuple(tensor.shape)}" for key, tensor in tensors))
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == digest


def test_fresh_weights_give_numbers() -> None:
    """Built with weights, not deferred: everything is initialised, and differs from seed to seed."""
    torch.manual_seed(3)
    one = MobileVideoGPT(SMALL).eval()
    torch.manual_seed(4)
    other = MobileVideoGPT(SMALL).eval()
    for network in (one, other):
        tensors = [*network.parameters(), *network.image_tower.parameters()]
        assert all(bool(tensor.isfinite().all()) for tensor in tensors)
    step = "model.vision_tower.vision_encoder.layers.0.mixer.dt_proj.bias"
    deltas = torch.nn.functional.softplus(one.state_dict()[step])
    assert 0.001 <= float(deltas.min()) < float(deltas.max()) <= 0.1
    assert not torch.equal(one.state_dict()[step], other.state_dict()[step])


def test_building_without_weights_needs_neither_memory_nor_torchs_compiler() -> None:
    program = (
        "import sys; from vidsearch.models.load import build; n = build('mobilevideogpt-1.5b'); "
        "assert all(p.is_meta for p in n.parameters()); print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_sizes_are_read_without_torch() -> None:
    program = "import sys, vidsearch.models.mobilevideogpt.config; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_deferred_networks_are_still_ordinary_ones_outside() -> None:
    with init_empty_weights():
        deferred = nn.Linear(3, 2)
    assert deferred.weight.is_meta
    assert not nn.Linear(3, 2).weight.is_meta
