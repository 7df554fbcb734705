"""First weights of a model that nobody pre-trained, from which its small networks learn in hours."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.models.clip_vit.image_tower import ClipImageTower
from vidsearch.models.mobilevideogpt.config import MobileVideoGPTConfig
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.models.videomamba.video_mamba import VideoMamba
from vidsearch.training.ask.clips import RenderedClip, image_pixels, video_pixels
from vidsearch.training.ask.encoder_pretraining import draw_meanings


@torch.no_grad()
def init_from_scratch(network: MobileVideoGPT, seed: int) -> None:
    """Weights for all parts of a model that nobody pre-trained, in place."""
    generator = torch.Generator().manual_seed(seed)
    init_image_tower(network.image_tower, network.config, seed)
    init_video_encoder(network.model.vision_tower, network.config, seed)
    table = network.model.embed_tokens.weight
    nn.init.normal_(table, std=table.shape[1] ** -0.5, generator=generator)
    for layer in network.model.layers.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)


@torch.no_grad()
def init_image_tower(tower: ClipImageTower, config: MobileVideoGPTConfig, seed: int) -> None:
    """First weights, in place, from which a small tower learns in an hour.

    The published one started near zero and had weeks. Here patches are whitened, so that an edge, by which a shape is
    known, weighs as much as an even colour, which most of a patch's variance is; places are waves, so that near ones
    are alike; and queries start equal to keys, so that tokens look around themselves (mimetic initialisation,
    arXiv 2305.09828).
    """
    generator = torch.Generator().manual_seed(seed)
    vision = tower.vision_model
    places = vision.embeddings.position_embedding.weight
    nn.init.normal_(places, std=0.02, generator=generator)
    places[1:] += _sinusoids(tower.config.patches, places.shape[1])
    for name, layer in vision.encoder.named_modules():
        if isinstance(layer, nn.Linear) and name.endswith(("q_proj", "k_proj")):
            nn.init.normal_(layer.weight, std=0.2 * layer.in_features**-0.5, generator=generator)
            layer.weight += 0.7 * torch.eye(layer.in_features)
    images = image_pixels([s.image_frames((3, 12)) for s in _some(config, seed)]).flatten(0, 1)
    _whiten(vision.embeddings.patch_embedding.weight, images)


@torch.no_grad()
def init_video_encoder(encoder: VideoMamba, config: MobileVideoGPTConfig, seed: int) -> None:
    """The same for the video encoder: patches whitened, places and times waves."""
    generator = torch.Generator().manual_seed(seed)
    network = encoder.vision_encoder
    for table in (network.pos_embed, network.cls_token):
        nn.init.normal_(table, std=0.02, generator=generator)
    width = network.pos_embed.shape[2]
    network.pos_embed[0, 1:] += _sinusoids(encoder.config.patches, width)
    network.temporal_pos_embedding.copy_(_line_sinusoids(torch.arange(encoder.config.num_frames), width)[None])
    videos = video_pixels([s.video_frames((3, 12)) for s in _some(config, seed)]).flatten(0, 1)
    _whiten(network.patch_embed.proj.weight.squeeze(2), videos)


def _some(config: MobileVideoGPTConfig, seed: int) -> list[RenderedClip]:
    rng = np.random.default_rng((seed, 1))
    return [RenderedClip(meaning, rng, config) for meaning in draw_meanings(rng, 256)]


@torch.no_grad()
def resample_patch_embed(encoder: VideoMamba, coarse: VideoMamba) -> None:
    """Weights of `encoder`, in place, from those of one with larger patches, which learns in a fraction of the time.

    A patch is embedded as though the picture were seen enlarged (FlexiViT, arXiv 2212.08013, section 3.4, resizes
    patches so), places are interpolated, and Δ is shortened by as much as there are more tokens, so that a memory
    reaches over as many frames as before.
    """
    old = coarse.vision_encoder
    grids = [math.isqrt(side.config.patches) for side in (coarse, encoder)]
    patch, large = encoder.config.patch_size, coarse.config.patch_size
    state = coarse.state_dict()
    kernel = old.patch_embed.proj.weight.squeeze(2).flatten(2)  # (D, 3, large²)
    one_by_one = torch.eye(patch * patch, device=kernel.device).view(-1, 1, patch, patch)
    enlarged = F.interpolate(one_by_one, size=large, mode="bilinear").flatten(1)  # (patch², large²)
    refined = (kernel @ enlarged.T).view(*kernel.shape[:2], patch, patch)
    state["vision_encoder.patch_embed.proj.weight"] = refined.unsqueeze(2)
    places = old.pos_embed[:, 1:].view(1, grids[0], grids[0], -1).permute(0, 3, 1, 2)
    places = F.interpolate(places, size=grids[1], mode="bilinear").flatten(2).transpose(1, 2)
    state["vision_encoder.pos_embed"] = torch.cat((old.pos_embed[:, :1], places), dim=1)
    for key, value in state.items():
        if "dt_proj" in key and key.endswith("bias"):
            state[key] = value - math.log(encoder.config.patches / coarse.config.patches)
    encoder.load_state_dict(state)


def _sinusoids(patches: int, width: int) -> Tensor:
    """Sines and cosines of the row and of the column of a square of patches, (P, D)."""
    side = math.isqrt(patches)
    line = _line_sinusoids(torch.arange(side), width // 2)
    rows, columns = line.repeat_interleave(side, 0), line.repeat(side, 1)
    # Taken in turn, so that every head of attention sees both.
    return torch.stack((rows, columns), dim=2).flatten(1)


def _line_sinusoids(positions: Tensor, width: int) -> Tensor:
    """(N,) → (N, D): waves from 3 to 40 positions long, of amplitude 0.7."""
    lengths = torch.exp(torch.linspace(math.log(3.0), math.log(40.0), width // 2))
    turns = 2 * math.pi * positions[:, None] / lengths
    return 0.7 * torch.stack((turns.sin(), turns.cos()), dim=2).flatten(1)


def _whiten(kernel: Tensor, pictures: Tensor) -> None:
    """Make `kernel` (D, 3, p, p) the D strongest components of the patches of (N, 3, S, S), of equal variance."""
    patches = F.unfold(pictures, kernel.shape[-1], stride=kernel.shape[-1]).transpose(1, 2).flatten(0, 1).double()
    patches = patches - patches.mean(0)
    variance, components = torch.linalg.eigh(patches.T @ patches / len(patches))
    variance, components = variance.flip(0)[: len(kernel)], components.flip(1)[:, : len(kernel)]
    floor = 1e-3 * variance.sum()  # what is weaker is mostly noise
    kernel.copy_((components / (variance + floor).sqrt()).T.reshape(kernel.shape).float())
