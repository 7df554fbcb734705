"""The two encoders of the small model, made from nothing: they learn to see by reading the facts of the world.

The published encoders were pre-trained on hundreds of millions of pictures. Here the world knows what is at every place
of every frame, so each token is asked what thing lies under it, where its middle is and how it moves; and the means of
the tokens are asked what the whole clip means. The maps that read are used while training and are no part of the model.

Axes: B clips, N frames, P patches of a frame (row-major), D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vidsearch.models.clip_vit.image_tower import ClipImageTower
from vidsearch.models.mobilevideogpt.config import MobileVideoGPTConfig
from vidsearch.models.videomamba.video_mamba import VideoMamba
from vidsearch.training.ask.clips import RenderedClip, image_pixels, learning_frames, video_pixels
from vidsearch.training.world.scene import (
    COLOURS,
    FIELD_SIZES,
    FIELDS,
    SHAPES,
    TURNING_SHAPES,
    TURNS,
    Actor,
    Array,
    Extent,
    Scene,
    SceneAttributes,
    attribute_labels,
    similar_meanings,
)

STILL_FIELDS = ("shape", "colour", "background", "size", "count")  # what one frame can show
_EXTENT = Extent(mix=(0.45, 0.18, 0.17), turns=0.25)
_GROUP = 4  # meanings of a batch that differ in one respect
_REACH = 1.15  # of a thing's radius: how far from its middle a token is asked about it
_STEP = 0.02  # of the clip: the step over which a velocity is measured
_STILL_TARGETS, _FRAME_TARGETS = 6, 13  # of `frame_targets`: what one frame shows, all
_PLACES, _RATES = 3, 4  # (x, y, log radius); how x, y, radius and angle change
_SECTORS = 8  # of a turn: a thing that turns is asked in which its angle lies
_SENSES = 3  # no turn, clockwise, counter-clockwise
_LABEL_SIZES = {
    "colour": 1 + len(COLOURS),
    "shape": 1 + len(SHAPES),
    "sector": _SECTORS,
    "before": _SECTORS,
    "sense": _SENSES,
    "places": _PLACES,
    "rates": _RATES,
}  # of the answers to what TokenLabels holds
_TURNS_WEIGHT = 2.0  # what turns is rare and hard to see


@dataclass(frozen=True, slots=True)
class TokenLabels:
    """What lies under each token; (N, P), measures (N, P, k). Sectors and senses are -1 where they are not asked.

    Sectors are asked for of things that turn, as classes: of an angle that could be any, the least absolute error is
    that of answering nothing, and a network that is asked for its sine and cosine never begins to see it.
    """

    colour: NDArray[np.int64]  # 0: nothing
    shape: NDArray[np.int64]
    sector: NDArray[np.int64]
    before: NDArray[np.int64]  # the sector at the moment before
    sense: NDArray[np.int64]
    places: Array
    rates: Array


def token_labels(scene: Scene, moments: Array, side: int, *, square: bool) -> TokenLabels:
    """The facts of side × side tokens at the moments (N,); `square`: of the middle square, not the whole frame."""
    left = (scene.aspect - 1) / 2 if square else 0.0
    span = 1.0 if square else scene.aspect
    columns = (np.arange(side, dtype=np.float32) + 0.5) / side * span + left
    rows = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = (grid.reshape(-1) for grid in np.meshgrid(columns, rows))  # (P,)
    tokens = (len(moments), side * side)
    facts = TokenLabels(
        colour=np.zeros(tokens, np.int64),
        shape=np.zeros(tokens, np.int64),
        sector=np.full(tokens, -1),
        before=np.full(tokens, -1),
        sense=np.full(tokens, -1),
        places=np.zeros((*tokens, _PLACES), np.float32),
        rates=np.zeros((*tokens, _RATES), np.float32),
    )
    turns = scene.meaning.motion in TURNS
    sense = 1 + TURNS.index(scene.meaning.motion) if turns else 0
    nearest = np.full(tokens, _REACH, np.float32)
    later = moments + np.float32(_STEP)
    actors = scene.actors(moments)
    seen_later = _seen(scene, scene.actors(later), later)
    for actor, seen, then in zip(actors, _seen(scene, actors, moments), seen_later, strict=True):
        away = np.hypot(x - seen[0][:, None], y - seen[1][:, None]) / seen[2][:, None]
        # At least the token in which the middle lies, however small the thing is.
        away = np.where(
            (abs(x - seen[0][:, None]) <= span / side / 2) & (abs(y - seen[1][:, None]) <= 0.5 / side), 0.5, away
        )
        here = (away < nearest) & actor.visible[:, None]
        nearest[here] = away[here]
        facts.colour[here] = 1 + COLOURS.index(actor.colour)
        facts.shape[here] = 1 + SHAPES.index(actor.shape)
        middle = np.stack(
            (
                (seen[0][:, None] - x) * side / span / 2,
                (seen[1][:, None] - y) * side / 2,
                np.broadcast_to(np.log(seen[2] / 0.12)[:, None], tokens),
            ),
            axis=-1,
        )
        facts.places[here] = middle[here]
        facts.sense[here] = sense
        if turns:
            sectors = (_fold(actor.shape) * actor.angle / (2 * math.pi) % 1 * _SECTORS).astype(np.int64)
            facts.sector[here] = np.broadcast_to(sectors[:, None], tokens)[here]
            facts.before[1:][here[1:]] = np.broadcast_to(sectors[:-1, None], facts.before[1:].shape)[here[1:]]
        rates = np.stack(
            (
                (then[0] - seen[0]) / _STEP,
                (then[1] - seen[1]) / _STEP,
                np.log(then[2] / seen[2]) / _STEP,
                (then[3] - seen[3]) / _STEP / 4,
            ),
            axis=-1,
        )
        facts.rates[here] = np.broadcast_to(rates[:, None], (*tokens, _RATES))[here]
    return facts


def frame_targets(scene: Scene, moments: Array, *, square: bool) -> Array:
    """(N, 13): place, log radius and turn of the things' middle and whether it is seen; how they and the camera move.

    Places in half widths and half heights from the middle of what is shown. The last 7 take two frames to tell.
    """
    span = 1.0 if square else scene.aspect
    now, then = scene.actors(moments), scene.actors(moments + np.float32(_STEP))
    places = np.stack(_seen(scene, now, moments)).mean(0)  # (4, N): x, y, radius, angle
    later = np.stack(_seen(scene, then, moments + np.float32(_STEP))).mean(0)
    first = now[0]
    fold = _fold(first.shape)
    camera, after = scene.camera(moments), scene.camera(moments + np.float32(_STEP))
    rates = (later - places) / _STEP
    facts = (
        (places[0] - scene.aspect / 2) * 2 / span,
        (places[1] - 0.5) * 2,
        np.log(places[2] / 0.12),
        np.cos(fold * places[3]),
        np.sin(fold * places[3]),
        first.visible.astype(np.float32),
        rates[0],
        rates[1],
        np.log(later[2] / places[2]) / _STEP,
        rates[3] / 4,
        (after.x - camera.x) / _STEP * 2,
        (after.y - camera.y) / _STEP * 2,
        np.log(after.zoom / camera.zoom) / _STEP,
    )
    return np.stack(facts, axis=-1).astype(np.float32)


def _fold(shape: str) -> int:
    """In how many angles the shape looks the same; 0 where no angle is told."""
    return (3 if shape == "triangle" else 1) * (shape in TURNING_SHAPES)


def _seen(scene: Scene, actors: Sequence[Actor], moments: Array) -> list[tuple[Array, Array, Array, Array]]:
    """Place, radius and angle of each actor on the screen at the moments."""
    camera = scene.camera(moments)
    return [
        (
            (actor.x - camera.x) * camera.zoom + scene.aspect / 2,
            (actor.y - camera.y) * camera.zoom + 0.5,
            actor.radius * camera.zoom,
            actor.angle,
        )
        for actor in actors
    ]


class AttributeProbe(nn.Module):
    """Reads tokens: each by a linear map for what lies under it, their means by two layers for the whole meaning."""

    def __init__(self, width: int, fields: tuple[str, ...], means: int) -> None:
        super().__init__()
        self.numbers = [FIELDS.index(field) for field in fields]
        self.sizes = [FIELD_SIZES[number] for number in self.numbers]
        self.norm = nn.LayerNorm(width)
        self.to_token = nn.Linear(width, sum(_LABEL_SIZES.values()))
        self.to_codes = nn.Sequential(nn.Linear(means * width, 256), nn.GELU(), nn.Linear(256, sum(self.sizes)))
        self.to_frame = nn.Linear(width, _FRAME_TARGETS)
        self.means = means

    def token_loss(self, tokens: Tensor, facts: Sequence[TokenLabels], *, moving: bool) -> Tensor:
        """tokens (B, N, P, D), one TokenLabels of (N, P) a clip; without `moving` nothing that takes two frames."""
        answers = self.to_token(self.norm(tokens)).float().split(list(_LABEL_SIZES.values()), dim=-1)
        said = dict(zip(_LABEL_SIZES, answers, strict=True))
        wanted = {
            name: torch.from_numpy(np.stack([getattr(f, name) for f in facts])).to(tokens.device)
            for name in _LABEL_SIZES
        }
        things = (wanted["colour"] > 0).unsqueeze(-1).float()
        weight = 1 + 4 * things.flatten()  # most tokens lie on nothing
        loss = tokens.new_zeros(())
        for name in ("colour", "shape"):
            each = F.cross_entropy(said[name].flatten(0, -2), wanted[name].flatten(), reduction="none")
            loss = loss + (each * weight).sum() / weight.sum()
        for name in ("places", "rates") if moving else ("places",):
            loss = loss + ((said[name] - wanted[name]).abs() * things).sum() / things.sum().clamp(min=1)
        loss = loss + _TURNS_WEIGHT * _asked(said["sector"], wanted["sector"])
        if moving:
            turning = wanted["sector"] >= 0
            loss = loss + _TURNS_WEIGHT * (
                0.5 * _asked(said["before"], wanted["before"])
                + _asked(said["sense"], wanted["sense"].where(turning, -1))
                + 0.3 * _asked(said["sense"], wanted["sense"].where(~turning, -1))
            )
        return loss

    def frame_loss(self, tokens: Tensor, facts: Sequence[Array], *, moving: bool) -> Tensor:
        """tokens (B, N, P, D), `frame_targets` of each clip: what a linear map reads from a frame's mean."""
        said = self.to_frame(self.norm(tokens).mean(2)).float()
        true = torch.from_numpy(np.stack(facts)).to(said.device)
        seen = true[..., 5:6].expand_as(true).clone()
        seen[..., 5] = 1
        count = _FRAME_TARGETS if moving else _STILL_TARGETS
        return ((said - true).abs() * seen)[..., :count].sum(-1).mean()

    def meaning_losses(self, tokens: Tensor, facts: Tensor) -> Tensor:
        """tokens (B, L, D), facts (B, 9) int64 → (fields,) cross-entropies of the fields, read from the mean tokens."""
        means = self.norm(tokens).unflatten(1, (self.means, -1)).mean(2).flatten(1)
        logits = self.to_codes(means).float().split(self.sizes, dim=1)
        return torch.stack([F.cross_entropy(x, facts[:, n]) for x, n in zip(logits, self.numbers, strict=True)])


def _asked(logits: Tensor, wanted: Tensor) -> Tensor:
    """Mean cross-entropy over the places where `wanted` is not -1; 0 where there are none."""
    each = F.cross_entropy(logits.flatten(0, -2), wanted.flatten(), ignore_index=-1, reduction="sum")
    return each / (wanted >= 0).sum().clamp(min=1)


def draw_meanings(rng: np.random.Generator, size: int) -> list[SceneAttributes]:
    """Meanings of the training part, in groups that differ in one respect; turns, hard to see, come more often."""
    meanings: list[SceneAttributes] = []
    while len(meanings) < size:
        meanings += similar_meanings(rng, min(_GROUP, size - len(meanings)), held_out=False, extent=_EXTENT)
    return meanings


def scene_labels(meanings: list[SceneAttributes]) -> Tensor:
    """(B, 9) int64, see `scene.attribute_labels`."""
    return torch.from_numpy(np.stack([attribute_labels(meaning) for meaning in meanings])).long()


def image_losses(
    tower: ClipImageTower, reader: AttributeProbe, rng: np.random.Generator, size: int, config: MobileVideoGPTConfig
) -> tuple[Tensor, Tensor]:
    """What the image tower's features tell of two frames of each clip: the loss of the tokens, those of the fields."""
    meanings = draw_meanings(rng, size)
    rendered = [RenderedClip(meaning, rng, config) for meaning in meanings]
    chosen = [sorted(rng.permutation(config.frames)[:2].tolist()) for _ in meanings]
    pixels = image_pixels([clip.image_frames(c) for clip, c in zip(rendered, chosen, strict=True)])
    side = config.image_tower.image_size // config.image_tower.patch_size
    facts = [token_labels(s.scene, s.moments[c], side, square=True) for s, c in zip(rendered, chosen, strict=True)]
    tokens = tower(pixels.flatten(0, 1).to(_device(tower))).float()
    token_loss = reader.token_loss(tokens.unflatten(0, (size, 2)), facts, moving=False)
    frames = [frame_targets(s.scene, s.moments[c], square=True) for s, c in zip(rendered, chosen, strict=True)]
    token_loss = token_loss + reader.frame_loss(tokens.unflatten(0, (size, 2)), frames, moving=False)
    return token_loss, reader.meaning_losses(tokens, scene_labels(meanings).repeat_interleave(2, 0).to(tokens.device))


def video_losses(
    encoder: VideoMamba, reader: AttributeProbe, rng: np.random.Generator, size: int, config: MobileVideoGPTConfig
) -> tuple[Tensor, Tensor]:
    """What the video encoder's tokens tell of clips, of which any `keep` frames of each chunk may have been chosen."""
    meanings = draw_meanings(rng, size)
    rendered = [RenderedClip(meaning, rng, config) for meaning in meanings]
    chosen = [learning_frames(rng, config) for _ in meanings]
    pixels = video_pixels([clip.video_frames(c) for clip, c in zip(rendered, chosen, strict=True)])
    tokens = encoder(pixels.to(_device(encoder))).float().unflatten(1, (len(chosen[0]), -1))
    return video_token_losses(tokens, reader, rendered, chosen, config)


def video_token_losses(
    tokens: Tensor,
    reader: AttributeProbe,
    rendered: Sequence[RenderedClip],
    chosen: Sequence[Sequence[int]],
    config: MobileVideoGPTConfig,
) -> tuple[Tensor, Tensor]:
    """The same of tokens (B, N, P, D) that are there already, of the frames `chosen` of each clip."""
    side = config.video_encoder.img_size // config.video_encoder.patch_size
    moments = [s.moments[list(c)] for s, c in zip(rendered, chosen, strict=True)]
    facts = [token_labels(s.scene, m, side, square=False) for s, m in zip(rendered, moments, strict=True)]
    frames = [frame_targets(s.scene, m, square=False) for s, m in zip(rendered, moments, strict=True)]
    token_loss = reader.token_loss(tokens, facts, moving=True) + reader.frame_loss(tokens, frames, moving=True)
    meanings = scene_labels([s.scene.meaning for s in rendered]).to(tokens.device)
    return token_loss, reader.meaning_losses(tokens.flatten(1, 2), meanings)


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


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
