"""Does a model that answers do what it should? Its tokenizer, its visual tokens, and a short answer, twice.

What a wrong or damaged file passes last is asked here: the marks of a prompt must be single tokens, visual tokens must
be finite and tell different clips apart, the same question must get the same answer. What is answered is kept for
people to read and refuses nothing: weights that were never trained are valid weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from vidsearch.models.findings import Finding
from vidsearch.models.folder import ModelFolder
from vidsearch.models.json_files import read_object
from vidsearch.models.mobilevideogpt.config import IMAGE_TOKEN, MobileVideoGPTConfig
from vidsearch.models.mobilevideogpt.load import load_language_model
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.models.mobilevideogpt.prompt import BEFORE_FRAMES, BEFORE_FRAMES_IDS, text_after_frames
from vidsearch.models.tokenizer_files import MARKS, parse_tokenizer, rows_needed

QUESTION = "what is there?"  # in words that small vocabularies have too
ANSWER_TOKENS = 8
SAME = 1e-5  # relative distance below which visual tokens of different clips count as one: a network that sees nothing


def self_test_of_answers(folder: ModelFolder) -> list[Finding]:
    """Load a model that answers and examine it. Raises ModelError where it cannot be loaded.

    Computes in float32, whatever the weights are stored in: wider ones stay mapped, narrower ones are copied.
    """
    tokenizer, settings = parse_tokenizer(folder.tokenizer), read_object(folder.generation)
    return examine_answers(load_language_model(folder, dtype=torch.float32), tokenizer, settings)


@torch.no_grad()
def examine_answers(network: MobileVideoGPT, tokenizer: Tokenizer, settings: dict[str, Any]) -> list[Finding]:
    """`network` in float32, its tokenizer, and what generation_config.json holds. Stops at tokens that do not fit."""
    listed = settings.get("eos_token_id")
    stops: list[Any] = listed if isinstance(listed, list) else [listed]
    words = [
        _tokens_have_rows(tokenizer, network.lm_config.vocab_size),
        _marks(tokenizer, network.lm_config.vocab_size),
        _round_trip(tokenizer),
        _ends(tokenizer, stops),
    ]
    if not all(finding.ok for finding in words):
        return words
    still, moving = (network.encode_clip(*_pixels(network.config, moves)) for moves in (False, True))
    return [
        *words,
        _finite("visual tokens", torch.cat((still, moving))),
        *_distinct(network.config, still, moving),
        *_answered(network, tokenizer, moving, stops),
    ]


# The tokenizer


def _tokens_have_rows(tokenizer: Tokenizer, rows: int) -> Finding:
    needed = rows_needed(tokenizer)
    return Finding("tokens", needed <= rows, f"{needed} tokens, {rows} rows in the embedding table")


def _marks(tokenizer: Tokenizer, rows: int) -> Finding:
    """Each mark is one token; in a vocabulary of Qwen2's size, the start of the prompt has the published numbers."""
    broken = [mark for mark in MARKS if len(_ids(tokenizer, mark)) != 1]
    if broken:
        return Finding("marks of the prompt", False, f"{', '.join(broken)} fall apart: another model's tokenizer")
    published = rows > max(BEFORE_FRAMES_IDS)
    if published and _ids(tokenizer, BEFORE_FRAMES) != list(BEFORE_FRAMES_IDS):
        return Finding("marks of the prompt", False, "the prompt has not its published numbers: another tokenizer")
    return Finding("marks of the prompt", True, "single tokens" + (", with the published numbers" if published else ""))


def _round_trip(tokenizer: Tokenizer) -> Finding:
    """The prompt survives; a vocabulary of whole words may lose its capitals, and put other spaces between them."""
    text = BEFORE_FRAMES + text_after_frames(QUESTION)
    back = tokenizer.decode(_ids(tokenizer, text), skip_special_tokens=False)
    ok = _letters(back) == _letters(text)
    same = "the same text" if back == text else "the same words"
    return Finding("text to tokens and back", ok, same if ok else f"{text!r} became {back!r:.200}")


def _letters(text: str) -> str:
    return "".join(text.lower().split())


def _ends(tokenizer: Tokenizer, stops: Sequence[object]) -> Finding:
    ok = tokenizer.token_to_id("<|im_end|>") in stops
    return Finding("end of an answer", ok, "<|im_end|>" if ok else f"<|im_end|> is not among {stops!r:.80}")


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


# The network


def _pixels(layout: MobileVideoGPTConfig, moves: bool) -> tuple[Tensor, Tensor]:
    """(F, 3, S, S) for each encoder, within preprocessing's range: waves that move, or others that stand still."""
    shift = 0.7 * torch.arange(layout.frames)[:, None, None] * (1 if moves else 0)
    colours = torch.tensor([1.0, 0.5, -0.7] if moves else [-0.8, 1.0, 0.6])[:, None, None]
    image, video = (
        colours * (torch.sin((5 if moves else 2) * place + shift) * torch.cos(3 * place)[:, None])[:, None]
        for place in (
            torch.linspace(0, 6.28, side) for side in (layout.image_tower.image_size, layout.video_encoder.img_size)
        )
    )
    return image, video


def _finite(what: str, values: Tensor) -> Finding:
    ok = bool(torch.isfinite(values).all())
    return Finding(what, ok, f"finite, {values.shape[1]} to a clip" if ok else "not finite")


def _distinct(layout: MobileVideoGPTConfig, still: Tensor, moving: Tensor) -> list[Finding]:
    """Both encoders tell the clips apart: image tokens stand first, then those of the video encoder."""
    images = layout.frames * layout.image_side**2
    return [
        _apart("image tokens of different clips", still[:, :images], moving[:, :images]),
        _apart("video tokens of different clips", still[:, images:], moving[:, images:]),
    ]


def _apart(what: str, one: Tensor, other: Tensor) -> Finding:
    distance = float((one - other).norm() / one.norm().clamp_min(1e-12))
    ok = distance > SAME
    return Finding(
        what, ok, f"differ by {distance:.1e} of their length" + ("" if ok else ": all the same to this model")
    )


def _answered(network: MobileVideoGPT, tokenizer: Tokenizer, visual: Tensor, stops: Sequence[int]) -> list[Finding]:
    """The first tokens of an answer, twice from the same keys and values of all that stands before them."""
    ids = [
        *_ids(tokenizer, BEFORE_FRAMES),
        *[IMAGE_TOKEN] * network.config.frames,
        *_ids(tokenizer, text_after_frames(QUESTION)),
    ]
    prompt = network.embed_prompt(torch.tensor(ids), visual)
    cache = network.new_cache()
    logits = network(inputs_embeds=prompt[:, :-1], cache=cache, last_only=True)
    before, answers = cache.length, []
    for _ in range(2):
        cache.crop(before)
        given = network.generate(
            inputs_embeds=prompt[:, -1:], cache=cache, max_new_tokens=ANSWER_TOKENS, stop_ids=stops
        )
        answers.append(list(given))
    same = answers[0] == answers[1]
    return [
        Finding("logits", *((True, "finite") if bool(torch.isfinite(logits).all()) else (False, "not finite"))),
        Finding("the same question again", same, "the same answer" if same else "another answer"),
        Finding("first words about a drawn clip", None, repr(tokenizer.decode(answers[0]))),
    ]
