"""A meaning → questions about it, with the one right answer of each.

Every kind has several ways of asking; the last of each is never trained on. As in `world/captions.py` held out are ways
of asking, never words. Answers are said in one way, so that they can be judged by equality.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vidsearch.training.world.scene import (
    BACKGROUNDS,
    CAMERA,
    COLOURS,
    DIRECTIONS,
    OVERTAKE,
    SHAPES,
    SIZES,
    STEPS,
    TURNS,
    SceneAttributes,
)

YES, NO, CANNOT_TELL = "yes", "no", "i can't tell"
COUNT_WORDS = {1: "one", 2: "two", 3: "three"}
PLURALS = {shape: f"{shape}es" if shape == "cross" else f"{shape}s" for shape in SHAPES}

# it does …, they do …
DOINGS: dict[str, tuple[str, str]] = {
    **{way: (f"moves {way}", f"move {way}") for way in DIRECTIONS},
    "grow": ("grows", "grow"),
    "shrink": ("shrinks", "shrink"),
    "spin-clockwise": ("turns clockwise", "turn clockwise"),
    "spin-counter-clockwise": ("turns counter-clockwise", "turn counter-clockwise"),
    "orbit-clockwise": ("circles clockwise", "circle clockwise"),
    "orbit-counter-clockwise": ("circles counter-clockwise", "circle counter-clockwise"),
    "blink": ("blinks", "blink"),
    "bounce": ("bounces", "bounce"),
    "appear": ("appears", "appear"),
    "vanish": ("vanishes", "vanish"),
    "still": ("stays still", "stay still"),
}
CAMERA_DOINGS = {kind: f"{kind.split('-')[0]}s {kind.split('-')[1]}" for kind in CAMERA}

# Kind → ways of asking. {noun} is the thing asked about, {its} what is said of it; the last way is kept for evaluation.
TEMPLATES: dict[str, list[str]] = json.loads(Path(__file__).with_name("question_templates.json").read_text("utf-8"))
KINDS = tuple(TEMPLATES)
_KEPT = frozenset(ways[-1] for ways in TEMPLATES.values())
_LONGER = 0.25


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one clip. `mentions`: words of it that say something of the clip, and whether it is so."""

    kind: str
    text: str
    answer: str
    mentions: tuple[tuple[str, bool], ...] = ()


class QuestionGenerator:
    """Draws questions from one generator; `held_out` chooses the ways of asking."""

    def __init__(self, rng: np.random.Generator, *, held_out: bool) -> None:
        self.rng = rng
        self.held_out = held_out

    def one(self, meaning: SceneAttributes, kind: str) -> Question | None:
        """A question of a kind; None where the clip gives no occasion for it."""
        found = self._its_and_answer(meaning, kind)
        if found is None:
            return None
        noun, its, answer = found
        text = self._way(kind).format(noun=noun, nouns=PLURALS.get(noun, noun), its=its)
        # What it does is mentioned by the last word of "moves left" or "blinks".
        doing = ((its.split()[-1], answer == YES),) if kind == "does it" else ()
        return Question(kind, text, answer, _mentions(text, meaning) + doing)

    def _way(self, kind: str) -> str:
        """The way kept for the evaluation, or any other one, some with "in the clip" after them."""
        ways = TEMPLATES[kind]
        if self.held_out:
            return ways[-1]
        way = ways[int(self.rng.integers(len(ways) - 1))]
        longer = f"{way[:-1]} in the clip{way[-1]}"
        fits = "clip" not in way and kind != "background" and longer not in _KEPT
        return longer if fits and self.rng.random() < _LONGER else way

    def several(self, meaning: SceneAttributes, number: int, kinds: tuple[str, ...] = KINDS) -> list[Question]:
        """`number` questions, each of another kind as far as the clip gives occasion for so many of `kinds`."""
        order = [kinds[int(i)] for i in self.rng.permutation(len(kinds))]
        questions = [question for kind in order if (question := self.one(meaning, kind))]
        while len(questions) < number:
            more = self.one(meaning, kinds[int(self.rng.integers(len(kinds)))])
            questions += [more] if more else []
        return questions[:number]

    def _its_and_answer(self, meaning: SceneAttributes, kind: str) -> tuple[str, str, str] | None:
        """The noun asked about, what else the question says, and the answer."""
        shape, motion = meaning.shape, meaning.motion
        plain = motion in DOINGS and meaning.then is None
        overtaking = motion == OVERTAKE
        match kind:
            case "what" if not overtaking:
                return shape, "", shape
            case "colour" if shape != meaning.other_shape:
                return shape, "", meaning.colour
            case "count" if not overtaking:
                return shape, "", COUNT_WORDS[meaning.count]
            case "size" if meaning.size:
                return shape, "", meaning.size
            case "background":
                return shape, "", meaning.background
            case "direction" if plain and motion in DIRECTIONS:
                return shape, "", motion
            case "resize" if plain and motion in ("grow", "shrink"):
                return shape, "", f"it {motion}s"
            case "spin" if plain and motion in TURNS:
                return shape, "", motion.removeprefix("spin-")
            case "doing" if plain:
                return shape, "", f"it {DOINGS[motion][0]}"
            case "camera" if motion in CAMERA or self.rng.random() < 0.15:
                return shape, "", f"it {CAMERA_DOINGS.get(motion, 'stays still')}"
            case "first" | "then" if meaning.then:
                return shape, "", f"it {DOINGS[motion if kind == 'first' else meaning.then][0]}"
            case "overtaking" if overtaking:
                return shape, "", f"the {meaning.colour} {shape}"
            case "describe":
                return shape, "", described(meaning)
            case "is there":
                return self._is_there(meaning)
            case "does it" if plain:
                return self._does_it(meaning)
            case "can't tell":
                return self._other(SHAPES, shape, meaning.other_shape), "", CANNOT_TELL
        return None

    def _is_there(self, meaning: SceneAttributes) -> tuple[str, str, str]:
        """As often yes as no; one to three mentions, of which one is wrong in a no."""
        mentions = 1 + int(self.rng.integers(3))  # the shape; and its colour; and the background
        answer, shown = YES, meaning
        if self.rng.random() < 0.5:
            answer = NO
            match int(self.rng.integers(mentions)):
                case 0:
                    shown = replace(meaning, shape=self._other(SHAPES, meaning.shape, meaning.other_shape))
                case 1:
                    shown = replace(meaning, colour=self._other(COLOURS, meaning.colour, meaning.other_colour))
                case _:
                    shown = replace(meaning, background=self._other(BACKGROUNDS, meaning.background))
        thing = _one(shown.shape if mentions == 1 else f"{shown.colour} {shown.shape}")
        where = f" on a {shown.background} background" if mentions == 3 else ""
        return meaning.shape, thing + where, answer

    def _does_it(self, meaning: SceneAttributes) -> tuple[str, str, str]:
        yes = self.rng.random() < 0.5
        motion = meaning.motion if yes else self._other(tuple(DOINGS), meaning.motion)
        return meaning.shape, DOINGS[motion][0], YES if yes else NO

    def _other(self, values: tuple[str, ...], *taken: str | None) -> str:
        left = [value for value in values if value not in taken]
        return left[int(self.rng.integers(len(left)))]


def described(meaning: SceneAttributes) -> str:
    """The one sentence that says the whole meaning."""
    many = meaning.count > 1
    noun = PLURALS[meaning.shape] if many else meaning.shape
    thing = " ".join(word for word in (meaning.size or "", meaning.colour, noun) if word)
    thing = f"{COUNT_WORDS[meaning.count]} {thing}" if many else _one(thing)
    where = f"on a {meaning.background} background"
    if meaning.motion == OVERTAKE:
        return f"{thing} overtakes {_one(f'{meaning.other_colour} {meaning.other_shape}')} {where}"
    if meaning.motion in CAMERA:
        return f"the camera {CAMERA_DOINGS[meaning.motion]} over {thing} {where}"
    doing = DOINGS[meaning.motion][many]
    if meaning.then:
        doing += f" and then {DOINGS[meaning.then][many]}"
    return f"{thing} {doing} {where}"


def _mentions(text: str, meaning: SceneAttributes) -> tuple[tuple[str, bool], ...]:
    """The shapes, colours and backgrounds that a text names, and whether the clip shows them."""
    shapes = {meaning.shape, meaning.other_shape} - {None}
    shown = {*shapes, *(PLURALS[s] for s in SHAPES if s in shapes)}
    shown |= {meaning.colour, meaning.other_colour, meaning.background}
    told = {*SHAPES, *PLURALS.values(), *COLOURS, *BACKGROUNDS}
    return tuple((word, word in shown) for word in split_words(text) if word in told)


def _one(thing: str) -> str:
    return f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"


def all_words() -> list[str]:
    """Every word that a question or an answer can hold, sorted."""
    texts: list[str] = [way.format(noun="", nouns="", its="") for ways in TEMPLATES.values() for way in ways]
    texts += [word for pair in DOINGS.values() for word in pair] + list(CAMERA_DOINGS.values())
    texts += [*SHAPES, *PLURALS.values(), *COLOURS, *BACKGROUNDS, *SIZES, *STEPS, *COUNT_WORDS.values()]
    texts += [YES, NO, CANNOT_TELL, "the camera over a an on background overtakes and then it"]
    texts += [turn.removeprefix("spin-") for turn in TURNS]
    return sorted({word for text in texts for word in split_words(text)})


def split_words(text: str) -> Iterator[str]:
    """The words and signs of a text, as the tokenizer of the small model splits them."""
    for word in text.split():
        if word[-1] in "?.":
            yield from (part for part in (word[:-1], word[-1]) if part)
        else:
            yield word
