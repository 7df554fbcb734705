"""A meaning → sentences that say it. Words are combined by templates; some combinations are kept for the evaluation.

Held out are ways of saying, never words: every word of a held-out sentence occurs in training sentences.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from vidsearch.training.world.scene import CAMERA, COLOURS, FIELDS, OVERTAKE, SceneAttributes

_T = TypeVar("_T")
Verb = tuple[str, str, str]  # it moves, they move, moving


@dataclass(frozen=True, slots=True)
class Phrase:
    """One way of saying a motion: "moves" + "to the left"."""

    verb: Verb
    rest: str

    def finite(self, count: int) -> str:
        return f"{self.verb[1 if count > 1 else 0]} {self.rest}".strip()

    @property
    def participle(self) -> str:
        return f"{self.verb[2]} {self.rest}".strip()


def _verb(singular: str, plural: str, participle: str) -> Verb:
    return singular, plural, participle


MOVES = _verb("moves", "move", "moving")
GOES = _verb("goes", "go", "going")
SLIDES = _verb("slides", "slide", "sliding")
TRAVELS = _verb("travels", "travel", "travelling")
DRIFTS = _verb("drifts", "drift", "drifting")
TURNS = _verb("turns", "turn", "turning")
SPINS = _verb("spins", "spin", "spinning")
ROTATES = _verb("rotates", "rotate", "rotating")
GROWS = _verb("grows", "grow", "growing")
GETS = _verb("gets", "get", "getting")
BECOMES = _verb("becomes", "become", "becoming")
SHRINKS = _verb("shrinks", "shrink", "shrinking")
BLINKS = _verb("blinks", "blink", "blinking")
FLASHES = _verb("flashes", "flash", "flashing")
FLICKERS = _verb("flickers", "flicker", "flickering")
BOUNCES = _verb("bounces", "bounce", "bouncing")
JUMPS = _verb("jumps", "jump", "jumping")
HOPS = _verb("hops", "hop", "hopping")
APPEARS = _verb("appears", "appear", "appearing")
SHOWS_UP = _verb("shows up", "show up", "showing up")
POPS_UP = _verb("pops up", "pop up", "popping up")
VANISHES = _verb("vanishes", "vanish", "vanishing")
DISAPPEARS = _verb("disappears", "disappear", "disappearing")
FADES = _verb("fades away", "fade away", "fading away")
STAYS = _verb("stays", "stay", "staying")
STANDS = _verb("stands", "stand", "standing")
RESTS = _verb("rests", "rest", "resting")
PANS = _verb("pans", "pan", "panning")
SWINGS = _verb("swings", "swing", "swinging")


def _ways(verbs: Iterable[Verb], rests: Iterable[str]) -> tuple[Phrase, ...]:
    return tuple(Phrase(verb, rest) for verb in verbs for rest in rests)


_GO = (MOVES, GOES, SLIDES, TRAVELS, DRIFTS)
_TURN = (TURNS, SPINS, ROTATES)
_SWEEP = (PANS, MOVES, SWINGS)
_LEFT = ("left", "to the left", "leftwards", "towards the left", "from right to left")
_RIGHT = ("right", "to the right", "rightwards", "towards the right", "from left to right")
_UP = ("up", "upwards", "to the top", "towards the top", "from bottom to top")
_DOWN = ("down", "downwards", "to the bottom", "towards the bottom", "from top to bottom")
_CLOCKWISE = ("clockwise", "in the clockwise direction", "clockwise on the spot")
_COUNTER = (
    "counter-clockwise",
    "anticlockwise",
    "in the counter-clockwise direction",
    "anticlockwise on the spot",
    "in the anticlockwise direction",
    "counter-clockwise on the spot",
)

# The held-out ways are those whose place in the table of verbs × rests lies on a fifth diagonal (`_is_held_out`).
PHRASES: dict[str, tuple[Phrase, ...]] = {
    "left": _ways(_GO, _LEFT),
    "right": _ways(_GO, _RIGHT),
    "up": _ways(_GO, _UP),
    "down": _ways(_GO, _DOWN),
    "grow": _ways((GROWS, GETS, BECOMES), ("bigger", "larger")) + _ways((GROWS,), ("",)),
    "shrink": _ways((GETS, BECOMES), ("smaller", "tinier")) + _ways((SHRINKS,), ("", "smaller")),
    "spin-clockwise": _ways(_TURN, _CLOCKWISE),
    "spin-counter-clockwise": _ways(_TURN, _COUNTER),
    "orbit-clockwise": _ways(
        (MOVES, GOES, TRAVELS),
        (
            "clockwise in a circle",
            "in a circle clockwise",
            "clockwise around the middle",
            "around the middle clockwise",
        ),
    ),
    "orbit-counter-clockwise": _ways(
        (MOVES, GOES, TRAVELS),
        (
            "counter-clockwise in a circle",
            "in a circle anticlockwise",
            "anticlockwise around the middle",
            "around the middle counter-clockwise",
        ),
    ),
    "blink": _ways((BLINKS, FLASHES, FLICKERS), ("", "on and off", "again and again")),
    "bounce": _ways((BOUNCES, JUMPS, HOPS), ("", "up and down", "again and again")),
    "appear": _ways((APPEARS, SHOWS_UP, POPS_UP), ("", "suddenly", "out of nowhere")),
    "vanish": _ways((VANISHES, DISAPPEARS, FADES), ("", "suddenly", "from sight")),
    "still": _ways((STAYS, STANDS, RESTS), ("still", "in place", "without moving")),
    "pan-left": _ways(_SWEEP, _LEFT[:4]),
    "pan-right": _ways(_SWEEP, _RIGHT[:4]),
    "pan-up": _ways(_SWEEP, _UP[:4]),
    "pan-down": _ways(_SWEEP, _DOWN[:4]),
}

NOUNS: dict[str, tuple[tuple[str, str], ...]] = {
    "circle": (("circle", "circles"), ("disc", "discs")),
    "square": (("square", "squares"), ("box", "boxes")),
    "triangle": (("triangle", "triangles"),),
    "star": (("star", "stars"),),
    "cross": (("cross", "crosses"), ("plus sign", "plus signs")),
    "heart": (("heart", "hearts"),),
    "ring": (("ring", "rings"), ("hoop", "hoops")),
    "arrow": (("arrow", "arrows"),),
    "": (("thing", "things"), ("object", "objects"), ("shape", "shapes")),
}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
COUNT_WORDS = {1: ("a", "one", "a single"), 2: ("two", "a pair of"), 3: ("three", "a group of three")}
COLOUR_WORDS = {"purple": ("purple", "violet"), "": ("",)}
PLACES: dict[str, tuple[str, ...]] = {
    "plain": ("a plain background", "a plain backdrop", "a background without pattern"),
    "striped": ("a striped background", "a striped backdrop", "a background with stripes", "stripes"),
    "chequered": ("a chequered background", "a checkered backdrop", "a background with checks", "a chequerboard"),
    "dotted": ("a dotted background", "a dotted backdrop", "a background with dots", "dots"),
}
ZOOMS = ("zoom-in", "zoom-out")
PREPOSITIONS = ("on", "in front of", "over", "against")

# What is said → templates of training, and those kept for evaluation. {thing} with its attributes, {where} it is seen;
# {finite} or {participle} is what it does; in "first, then" a, b are finite and x, y participles of the two steps.
TEMPLATES: dict[str, dict[Literal["training", "held out"], list[str]]] = json.loads(
    Path(__file__).with_name("caption_templates.json").read_text("utf-8")
)


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence, and which fields of its meaning (in the order of scene.FIELDS) it mentions; (9,) bool."""

    text: str
    mentioned: NDArray[np.bool_]


def _is_held_out(verb: int, rest: int) -> bool:
    return (2 * verb + rest) % 5 == 3


def phrases(motion: str, held_out: bool) -> tuple[Phrase, ...]:
    """The ways of saying one motion: those of training or those kept for the evaluation."""
    ways = PHRASES[motion]
    verbs = list(dict.fromkeys(way.verb for way in ways))
    rests = list(dict.fromkeys(way.rest for way in ways))
    return tuple(w for w in ways if _is_held_out(verbs.index(w.verb), rests.index(w.rest)) == held_out)


def _choose(rng: np.random.Generator, values: Sequence[_T]) -> _T:
    return values[int(rng.integers(len(values)))]


def _article(words: str) -> str:
    """ "a orange" → "an orange"."""
    return "an" + words[1:] if words.startswith("a ") and words[2] in "aeiou" else words


class CaptionWriter:
    """Writes captions from one generator; `held_out` chooses the ways of saying."""

    def __init__(self, rng: np.random.Generator, *, held_out: bool) -> None:
        self.rng = rng
        self.held_out = held_out

    def full(self, meaning: SceneAttributes) -> Caption:
        """A sentence that mentions the whole meaning."""
        return self._write(meaning, dict.fromkeys(FIELDS, True))

    def sometimes_partial(self, meaning: SceneAttributes) -> Caption:
        """Seven times in ten the whole meaning; else some of it is left out, as people do when they search."""
        mentions = dict.fromkeys(FIELDS, True)
        if self.rng.random() >= 0.7:
            drops = {"background": 0.6, "size": 0.5, "shape": 0.15, "colour": 0.15, "motion": 0.12}
            for field, chance in drops.items():
                mentions[field] = self.rng.random() >= chance
            mentions["shape"] |= not mentions["colour"]  # "a thing" alone says nothing
            mentions["motion"] |= meaning.motion == OVERTAKE
            mentions["then"] = mentions["motion"]
            if not mentions["motion"]:
                mentions["other_shape"] = mentions["other_colour"] = False
        return self._write(meaning, mentions)

    def _write(self, meaning: SceneAttributes, mentions: dict[str, bool]) -> Caption:
        where = self._where(meaning) if mentions["background"] else ""
        thing = self._thing(
            meaning.shape if mentions["shape"] else "",
            meaning.colour if mentions["colour"] else "",
            meaning.size if mentions["size"] else None,
            meaning.count,
        )
        text = self._sentence(meaning, thing, where, moving=mentions["motion"])
        mentioned = dict(mentions, size=mentions["size"] and meaning.size is not None)
        return Caption(" ".join(_number(text, meaning.count).split()), np.array([mentioned[field] for field in FIELDS]))

    def _where(self, meaning: SceneAttributes) -> str:
        place, preposition = _choose(self.rng, PLACES[meaning.background]), _choose(self.rng, PREPOSITIONS)
        return f"{preposition} {place}"

    def _thing(self, shape: str, colour: str, size: str | None, count: int) -> str:
        noun = _choose(self.rng, NOUNS[shape])[count > 1]
        words = (
            _choose(self.rng, COUNT_WORDS[count]),
            _choose(self.rng, SIZE_WORDS[size]) if size else "",
            _choose(self.rng, COLOUR_WORDS.get(colour, (colour,))),
            noun,
        )
        return _article(" ".join(word for word in words if word))

    def _sentence(self, meaning: SceneAttributes, thing: str, where: str, *, moving: bool) -> str:
        if not moving:
            return self._template("no motion").format(thing=thing, where=where)
        if meaning.motion == OVERTAKE:
            other = self._thing(str(meaning.other_shape), str(meaning.other_colour), None, 1)
            return self._template("overtaking").format(thing=thing, other=other, where=where)
        if meaning.motion in ZOOMS:
            return self._template(meaning.motion).format(thing=thing, where=where)
        first = _choose(self.rng, phrases(meaning.motion, self.held_out))
        if meaning.motion in CAMERA:
            return self._template("camera pans").format(thing=thing, where=where, pan=first.finite(1))
        if meaning.then is None:
            template = self._template("motion")
            finite = first.finite(meaning.count)
            return template.format(thing=thing, where=where, finite=finite, participle=first.participle)
        then = _choose(self.rng, phrases(meaning.then, self.held_out))
        template = self._template("first, then")
        if meaning.count > 1:
            template = template.replace("it {b1}", "they {b}")
        a, b = first.finite(meaning.count), then.finite(meaning.count)
        steps = {"a": a, "b": b, "b1": b, "x": first.participle, "y": then.participle}
        return template.format(thing=thing, where=where, **steps)

    def _template(self, said: str) -> str:
        return _choose(self.rng, TEMPLATES[said]["held out" if self.held_out else "training"])


def _number(text: str, count: int) -> str:
    return text.replace("there is", "there are") if count > 1 else text


def all_words() -> list[str]:
    """Every word a caption can hold, sorted: what the vocabulary of a model of this world must cover."""
    ways = [way for each in PHRASES.values() for way in each]
    texts = [form for way in ways for form in (way.finite(1), way.finite(2), way.participle)]
    texts += [name for names in NOUNS.values() for pair in names for name in pair]
    tables: tuple[Mapping[Any, Sequence[str]], ...] = (SIZE_WORDS, COUNT_WORDS, COLOUR_WORDS, PLACES)
    texts += [text for table in tables for group in table.values() for text in group]
    texts += [text for parts in TEMPLATES.values() for templates in parts.values() for text in templates]
    texts += PREPOSITIONS
    texts += ["an they are", *COLOURS]
    words = {word for text in texts for word in text.split() if "{" not in word}
    return sorted(words)
