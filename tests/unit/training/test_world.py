"""The synthetic world: deterministic, split as it says, and its captions true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vidsearch.training.world.captions import COUNT_WORDS, NOUNS, SIZE_WORDS, CaptionWriter, all_words, phrases
from vidsearch.training.world.eval_sets import (
    first_then_sets,
    left_right_sets,
    motion_sets,
    overtaking_sets,
    retrieval_set,
)
from vidsearch.training.world.render import render
from vidsearch.training.world.samples import training_batch
from vidsearch.training.world.scene import (
    CAMERA,
    FIELDS,
    MOTIONS,
    OVERTAKE,
    SIMPLE,
    Scene,
    SceneAttributes,
    allowed,
    attribute_labels,
    describes,
    is_held_out,
    look_is_held_out,
    opposite,
    sample_meaning,
    similar_meanings,
)

MIDDLES = ((np.arange(8) + 0.5) / 8).astype(np.float32)


def _scene(motion: str, then: str | None = None, seed: int = 0, **fields: object) -> Scene:
    meaning = SceneAttributes(
        **({"shape": "arrow", "colour": "red", "background": "dotted", "motion": motion, "then": then} | fields)
    )  # type: ignore[arg-type]  # a test builds it by name
    return Scene(meaning, np.random.default_rng(seed))


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    first, again = training_batch(3, 5, 8, 64), training_batch(3, 5, 8, 64)
    np.testing.assert_array_equal(first.clips, again.clips)
    assert first.texts == again.texts
    assert training_batch(3, 6, 8, 64).texts != first.texts
    assert first.clips.shape == (8, 8, 64, 64, 3)


def test_a_scene_is_the_same_at_any_frame_rate_and_size() -> None:
    scene = _scene("left", "up", background="plain")
    moments = np.linspace(0.01, 0.99, 50, dtype=np.float32)
    whole = render(scene, moments, 48, 36)
    np.testing.assert_allclose(whole[::7], render(scene, moments[::7], 48, 36), atol=1e-5)
    large = render(scene, moments[:1], 192, 144)
    shrunk = large.reshape(1, 36, 4, 48, 4, 3).mean((2, 4))
    assert np.abs(shrunk - whole[:1]).max() < 0.15  # soft edges are a pixel wide
    assert np.abs(shrunk - whole[:1]).mean() < 0.002


def test_a_crop_is_a_part_of_the_whole_picture() -> None:
    scene = _scene("still", background="chequered", size="large")
    whole = render(scene, MIDDLES[:1], 80, 80)
    corner = render(scene, MIDDLES[:1], 40, 40, (0.5, 0.25, 0.5))
    np.testing.assert_allclose(corner, whole[:, 20:60, 40:80], atol=1e-4)


@pytest.mark.parametrize(
    ("motion", "axis", "sign"), [("left", "x", -1), ("right", "x", 1), ("up", "y", -1), ("down", "y", 1)]
)
@pytest.mark.parametrize("seed", range(5))
def test_things_move_where_the_meaning_says(motion: str, axis: str, sign: int, seed: int) -> None:
    (actor,) = _scene(motion, seed=seed, size="large").actors(MIDDLES)
    other = "y" if axis == "x" else "x"
    assert np.all(np.diff(getattr(actor, axis)) * sign > 0)
    assert np.ptp(getattr(actor, axis)) > 0.15
    assert np.ptp(getattr(actor, other)) == 0


@pytest.mark.parametrize("seed", range(5))
def test_other_motions_do_what_they_say(seed: int) -> None:
    def actor(motion: str):  # type: ignore[no-untyped-def]  # one line for the tests below
        return _scene(motion, seed=seed).actors(MIDDLES)[0]

    assert np.all(np.diff(actor("grow").radius) > 0)
    assert np.all(np.diff(actor("shrink").radius) < 0)
    assert np.all(np.diff(actor("spin-clockwise").angle) > 0)
    assert np.all(np.diff(actor("spin-counter-clockwise").angle) < 0)
    assert list(actor("appear").visible) == sorted(actor("appear").visible)
    assert list(actor("vanish").visible) == sorted(actor("vanish").visible, reverse=True)
    assert np.abs(np.diff(actor("blink").visible.astype(int))).sum() >= 2
    bounces = np.diff(np.sign(np.diff(_scene("bounce", seed=seed).actors(np.linspace(0, 1, 99))[0].y)))
    assert np.count_nonzero(bounces) >= 3


@pytest.mark.parametrize(("motion", "sense"), [("orbit-clockwise", 1), ("orbit-counter-clockwise", -1)])
def test_a_circling_thing_keeps_its_sense(motion: str, sense: int) -> None:
    (actor,) = _scene(motion, size="small").actors(np.linspace(0.1, 0.9, 30, dtype=np.float32))
    dx, dy = np.diff(actor.x), np.diff(actor.y)
    turning = dx[:-1] * dy[1:] - dy[:-1] * dx[1:]  # y points down: positive is clockwise on the screen
    assert np.all(turning * sense > 0)


def test_a_sequence_does_one_thing_and_then_the_other() -> None:
    (actor,) = _scene("left", "up", size="large").actors(np.array([0.0, 0.44, 0.56, 1.0], dtype=np.float32))
    assert actor.x[1] < actor.x[0] and actor.y[1] == actor.y[0]
    assert actor.x[3] == actor.x[2] and actor.y[3] < actor.y[2]


@pytest.mark.parametrize("seed", range(8))
def test_the_first_thing_overtakes_the_second(seed: int) -> None:
    scene = _scene(OVERTAKE, other_shape="circle", other_colour="blue", seed=seed)
    first, second = scene.actors(MIDDLES)
    sense = 1 if scene.forward else -1
    ahead = (first.x - second.x) * sense
    assert ahead[0] < 0 < ahead[-1]
    assert np.all(np.diff(first.x) * sense > 0) and np.all(np.diff(second.x) * sense > 0)


def test_a_panning_camera_moves_the_picture_the_other_way_and_a_zoom_enlarges_it() -> None:
    pan = _scene("pan-left", size="large").camera(MIDDLES)
    assert np.all(np.diff(pan.x) < 0) and np.ptp(pan.y) == 0
    zoom = _scene("zoom-in").camera(MIDDLES)
    assert np.all(np.diff(zoom.zoom) > 0)


@pytest.mark.parametrize("seed", range(40))
def test_everything_stays_in_the_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = Scene(sample_meaning(rng, held_out=None), rng, aspect=1.2)
    if scene.meaning.motion in CAMERA:
        return
    for actor in scene.actors(np.linspace(0, 1, 30, dtype=np.float32)):
        assert np.all(actor.x > 0.04) and np.all(actor.x < 1.16)
        assert np.all(actor.y > 0.04) and np.all(actor.y < 0.96)


def test_training_never_shows_what_is_held_out() -> None:
    rng = np.random.default_rng(0)
    shown = [meaning for _ in range(400) for meaning in similar_meanings(rng, 4, held_out=False)]
    assert len(shown) == 1600
    assert not any(is_held_out(meaning) for meaning in shown)
    assert {meaning.motion for meaning in shown} == set(MOTIONS)
    kept = [sample_meaning(rng, held_out=True) for _ in range(300)]
    assert all(is_held_out(meaning) and allowed(meaning) for meaning in kept)


def test_the_split_is_the_same_on_every_machine() -> None:
    assert look_is_held_out("square", "red", "dotted")
    assert not look_is_held_out("circle", "red", "plain")
    rng = np.random.default_rng(5)
    share = np.mean([is_held_out(sample_meaning(rng, held_out=None)) for _ in range(2000)])
    assert 0.15 < share < 0.25


def test_every_evaluation_set_is_held_out_and_each_sentence_has_one_answer() -> None:
    eval_set = retrieval_set(1, 300)
    facts = np.stack([attribute_labels(meaning) for meaning in eval_set.meanings])
    mentioned = np.stack(
        [[getattr(m, field) is not None or field == "then" for field in FIELDS] for m in eval_set.meanings]
    )
    np.testing.assert_array_equal(describes(facts, mentioned, facts), np.eye(300, dtype=bool))
    for group in motion_sets(1, 20):
        assert len({meaning.motion for meaning in group.meanings}) == 8
        assert len({(meaning.shape, meaning.colour, meaning.background) for meaning in group.meanings}) == 1
        assert all(is_held_out(meaning) and allowed(meaning) for meaning in group.meanings)
    for one, other in [t.meanings for t in left_right_sets(1, 20) + first_then_sets(1, 20)]:
        assert opposite(one) == other and is_held_out(one) and is_held_out(other)
    for one, other in [t.meanings for t in overtaking_sets(1, 20)]:
        assert (one.shape, one.colour) == (other.other_shape, other.other_colour)


def test_held_out_phrasings_are_new_sentences_of_known_words() -> None:
    rng = np.random.default_rng(0)
    known, kept = CaptionWriter(rng, held_out=False), CaptionWriter(rng, held_out=True)
    meanings = [sample_meaning(rng, held_out=None) for _ in range(4000)]
    training = {known.full(meaning).text for meaning in meanings}
    held_out = {kept.full(meaning).text for meaning in meanings}
    assert not training & held_out
    words = {word for text in training for word in text.split()}
    assert {word for text in held_out for word in text.split()} <= words | {"pan", "swing"}
    assert words <= set(all_words())
    for motion in SIMPLE:
        assert phrases(motion, held_out=True) and not set(phrases(motion, True)) & set(phrases(motion, False))


def test_a_caption_says_what_the_scene_shows() -> None:
    rng = np.random.default_rng(1)
    writer = CaptionWriter(rng, held_out=False)
    for _ in range(500):
        meaning = sample_meaning(rng, held_out=None)
        caption = writer.sometimes_partial(meaning)
        said = dict(zip(FIELDS, caption.mentioned, strict=True))
        for shape, names in NOUNS.items():
            named = any(f" {noun} " in f" {caption.text} " for pair in names for noun in pair)
            spoken = shape and (shape == meaning.shape or shape == meaning.other_shape)
            if named and shape and shape != "circle":  # "in a circle" is a motion
                assert spoken, caption.text
        if said["shape"]:
            nouns = [pair[meaning.count > 1] for pair in NOUNS[meaning.shape]]
            assert any(noun in caption.text for noun in nouns), caption.text
        if said["size"]:
            assert any(f" {word} " in f" {caption.text} " for word in SIZE_WORDS[str(meaning.size)]), caption.text
        assert any(word in caption.text for word in COUNT_WORDS[meaning.count] + ("an ",)), caption.text


def test_partial_captions_are_true_of_what_they_leave_open() -> None:
    red = SceneAttributes("circle", "red", "plain", "left", size="small")
    blue = replace(red, colour="blue")
    facts = np.stack([attribute_labels(red), attribute_labels(blue)])
    mentioned = np.ones((2, len(FIELDS)), dtype=bool)
    mentioned[0, FIELDS.index("colour")] = False
    np.testing.assert_array_equal(describes(facts, mentioned, facts), [[True, False], [True, True]])


def test_opposites_come_back() -> None:
    rng = np.random.default_rng(2)
    for _ in range(300):
        meaning = sample_meaning(rng, held_out=None)
        contrary = opposite(meaning)
        assert contrary is None or (contrary != meaning and opposite(contrary) == meaning)
