"""Mobile-VideoGPT as an answerer: a clip is encoded once, its keys and values are kept, words come as they are made.

Source: Mobile-VideoGPT (arXiv 2503.21782) and its released program; what that program does again for every question
and this does not stands in docs/ask.md.

Axes: V visual tokens, L positions, d the language model's width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from vidsearch.answering.interface import AnswerLimits, Clip, Precision, SeenClip
from vidsearch.answering.mobilevideogpt.frames import MomentPixels, read_moment
from vidsearch.answering.mobilevideogpt.lm_backend import Speaker, open_speaker
from vidsearch.answering.mobilevideogpt.tokenizer import GenerationRules, Words, generation_rules
from vidsearch.answering.visual_cache import VisualCache, cache_key
from vidsearch.errors import VidsearchError
from vidsearch.models.device import accelerators, named_device
from vidsearch.models.folder import ModelFolder
from vidsearch.models.mobilevideogpt.load import load_language_model
from vidsearch.models.qwen2.decoder import KeyValueCache, penalised
from vidsearch.video.fingerprint import fingerprint

_ROOM = 512  # positions that a question and its answer have memory for from the beginning


class MobileVideoGPTAnswerer:
    """An `Answerer` over a model folder's network."""

    def __init__(self, folder: ModelFolder, *, device: str, precision: Precision, cache: VisualCache) -> None:
        self.model = folder.name
        self.words = Words(folder)
        self.rules = generation_rules(folder)
        self.network = load_language_model(folder)
        self._place = _device(device)
        self.speaker = open_speaker(folder, self.network, self._place, precision)
        self.device = _description(self._place, self.speaker)
        self._cache = cache
        # A training step may change neither end of the file, which is what the fingerprint reads; it does set the time.
        self._identity = (fingerprint(folder.weights), folder.weights.stat().st_mtime_ns, dict(folder.network))
        self._folder = folder

    def look(self, clip: Clip) -> ClipViewing:
        """See `Answerer.look`."""
        key = cache_key(
            fingerprint(clip.path),
            asdict(clip.range),
            clip.coverage,
            self._identity,
            self._place.type,
            str(self.speaker.dtype),
        )
        kept = self._cache.get(key)
        if kept is not None:
            tokens, facts = kept
            return ClipViewing(self, _seen(clip, self.model, facts, from_cache=True), torch.from_numpy(tokens))
        pixels = read_moment(clip.path, clip.range, clip.coverage, self.network.layout)
        visual, chosen = self._encode(pixels)
        facts = _facts(pixels, chosen)
        self._cache.put(key, visual.numpy(), facts)
        return ClipViewing(self, _seen(clip, self.model, facts, from_cache=False), visual)

    def unknown_words(self, question: str) -> list[str]:
        """See `Answerer.unknown_words`."""
        return self.words.unknown(question)

    def on_device(self, visual: Tensor) -> Tensor:
        """(V, d) of the cache → (1, V, d) for the language model."""
        return visual.to(self._place, self.speaker.dtype).unsqueeze(0)

    @torch.inference_mode()
    def _encode(self, pixels: MomentPixels) -> tuple[Tensor, list[int]]:
        """→ (V, d) float16 on the CPU, and the numbers of the frames chosen for the video encoder.

        float16 is what the cache holds; an answer is made from it the first time, too, so that both are the same.
        """
        features, chosen = self._picture_features(pixels.image)
        visual = self._visual_tokens(features, pixels.video[chosen.cpu()])
        return visual.to("cpu", torch.float16), chosen.tolist()

    # Each encoder is mapped from the file for each clip, in a tenth of a second, and let go of: it leaves its memory to
    # the other encoder and to the answer, and a clip that is cached needs neither.

    def _picture_features(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(F, 3, S, S) → (F, L, D) of the image tower, and the numbers of the frames for the video encoder."""
        network = load_language_model(self._folder)
        network.image_tower.to(self._place, self.speaker.dtype)
        features = network.image_features(pixels.to(self._place, self.speaker.dtype))
        return features, network.selected_frames(features)

    def _visual_tokens(self, features: Tensor, pixels: Tensor) -> Tensor:
        """(F, L, D) of all frames, and (C·keep, 3, S, S) of those chosen → (V, d)."""
        network = load_language_model(self._folder)
        for part in (network.model.vision_tower, network.model.mm_projector, network.model.image_mm_projector):
            part.to(self._place, self.speaker.dtype)
        video = network.video_features(pixels.to(self._place, self.speaker.dtype))
        return network.project(features, video)[0]


class ClipViewing:
    """A `Viewing`: visual tokens, and the keys and values of all that stands before the question, once it is known."""

    def __init__(self, answerer: MobileVideoGPTAnswerer, seen: SeenClip, visual: Tensor) -> None:
        self.seen = seen
        self.tokens = 0
        self.cut_short = False
        self._answerer = answerer
        self._visual = visual
        self._before = answerer.words.before_frames()
        self._prefix = len(self._before) + len(visual)  # positions before the question: the same for every one
        self._cache = KeyValueCache(answerer.network.config.num_hidden_layers, self._prefix + _ROOM)
        self._pending: list[int] = []  # the last token given, when the cache does not hold it

    @property
    def full(self) -> bool:
        """See `Viewing.full`."""
        return self._room() < 1

    def ask(self, question: str, limits: AnswerLimits, *, go_on: bool = False) -> Iterator[str]:
        """See `Viewing.ask`."""
        words = self._answerer.words
        if go_on and self._cache.length > self._prefix:
            ids = [*self._pending, *words.next_turn(question)]
        else:
            ids = words.after_frames(question)
            self._cache.truncate(min(self._prefix, self._cache.length))  # shorter where the first prompt was stopped
        self._check_room(len(ids))
        yield from words.pieces(self._generate(ids, limits))

    @torch.inference_mode()
    def _generate(self, ids: list[int], limits: AnswerLimits) -> Iterator[int]:
        """Tokens of the answer to a prompt that ends with `ids`; the cache takes in all but the last one given."""
        speaker, rules = self._answerer.speaker, self._answerer.rules
        choose = _Chooser(limits, rules)
        self.tokens, self.cut_short = 0, False
        logits = speaker.logits(self._prompt(ids), self._cache)
        self._pending = []  # only now: stopped before, the question was never put
        while (token := choose(logits)) not in rules.stop_ids:
            self.tokens += 1
            self._pending = [token]
            yield token
            self.cut_short = self.tokens >= limits.max_new_tokens or self.full
            if self.cut_short:
                return
            logits = speaker.logits(speaker.embed([token]), self._cache)
            self._pending = []

    def _prompt(self, ids: list[int]) -> Tensor:
        """(1, L, d): `ids`, and before the first question all that stands before it."""
        embed = self._answerer.speaker.embed
        text = embed(ids)
        if self._cache.length:
            return text
        before, visual = embed(self._before), self._answerer.on_device(self._visual)
        return torch.cat((before, visual, text), dim=1)

    def _check_room(self, length: int) -> None:
        if length >= self._room():
            raise VidsearchError(
                f"{self._answerer.model} takes {self._limit()} tokens, the clip's {self._prefix} included, and "
                "what was said is longer; ask a shorter question, or begin a new conversation."
            )

    def _room(self) -> int:
        """Positions left; those before the question count before they are filled."""
        return self._limit() - max(self._cache.length, self._prefix)

    def _limit(self) -> int:
        return self._answerer.network.config.max_position_embeddings


class _Chooser:
    """Logits → the next token of one answer: the likeliest, or one drawn at a temperature."""

    def __init__(self, limits: AnswerLimits, rules: GenerationRules) -> None:
        self._temperature = limits.temperature
        self._penalty = rules.repetition_penalty
        self._given: list[int] = []
        self._generator = torch.Generator()
        if limits.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(limits.seed)

    def __call__(self, logits: Tensor) -> int:
        """(vocabulary,) → a token. The penalty acts on tokens of this answer alone, as in the reference."""
        logits = penalised(logits, self._given, self._penalty)
        if self._temperature == 0:
            token = int(logits.argmax())
        else:
            chances = torch.softmax(logits.float().cpu() / self._temperature, dim=-1)
            token = int(torch.multinomial(chances, 1, generator=self._generator))
        self._given.append(token)
        return token


def _facts(pixels: MomentPixels, chosen: list[int]) -> dict[str, Any]:
    """What the cache keeps beside the tokens; frames of padding are no frames that anybody saw."""
    times = pixels.times_s
    return {
        "start_s": pixels.start_s,
        "end_s": pixels.end_s,
        "times_s": times,
        "chosen_s": [times[number] for number in chosen if number < len(times)],
        "damage": pixels.facts.damage,
    }


def _seen(clip: Clip, model: str, facts: dict[str, Any], *, from_cache: bool) -> SeenClip:
    return SeenClip(
        path=clip.path,
        start_s=facts["start_s"],
        end_s=facts["end_s"],
        times_s=tuple(facts["times_s"]),
        chosen_s=tuple(facts["chosen_s"]),
        model=model,
        from_cache=from_cache,
        damage=facts["damage"],
    )


def _device(name: str) -> torch.device:
    """The device of that name; for "auto" the fastest there is."""
    return named_device(next(iter(accelerators()), "cpu") if name == "auto" else name)


def _description(device: torch.device, speaker: Speaker) -> str:
    threads = torch.get_num_threads()
    more = f", {threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else ""
    return f"{device} ({speaker.weights}{more})"
