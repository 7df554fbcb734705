"""Where clips and queries meet: convex combinations of class vectors, and a scale that keeps the order of answers."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from vidsearch.models.conse.classes import CLASSES, PHRASINGS, read_classes
from vidsearch.models.conse.config import EMBED_DIM, SENTENCE_DIM
from vidsearch.models.conse.space import REACH_FLOOR, clips_in_space, queries_in_space

RANDOM = torch.Generator().manual_seed(0)
NAMED = F.normalize(torch.randn(40, SENTENCE_DIM, generator=RANDOM) + 0.1, dim=-1)
CENTRE = NAMED.mean(0)
CENTRED = NAMED - CENTRE


def test_a_clip_of_one_class_is_the_vector_of_that_class() -> None:
    logits = torch.full((1, 8, 40), -50.0)
    logits[:, :, 7] = 50.0
    vector = clips_in_space(logits, CENTRED, temperature=1.0)
    assert vector.shape == (1, EMBED_DIM)
    torch.testing.assert_close(vector[0, :-1], F.normalize(CENTRED[7], dim=-1), rtol=0, atol=1e-6)
    assert vector[0, -1] == 0


def test_frames_weigh_the_same_and_their_order_does_not_count() -> None:
    logits = torch.randn(1, 8, 40, generator=RANDOM)
    mixed = torch.softmax(logits / 2.5, -1).mean(1) @ CENTRED
    for frames in (logits, logits.flip(1)):
        torch.testing.assert_close(
            clips_in_space(frames, CENTRED, 2.5)[:, :-1], F.normalize(mixed, dim=-1), rtol=0, atol=1e-6
        )


def test_a_query_has_unit_length_and_ranks_clips_as_its_sentence_vector_does() -> None:
    sentences = F.normalize(torch.randn(5, SENTENCE_DIM, generator=RANDOM), dim=-1)
    clips = clips_in_space(torch.randn(30, 8, 40, generator=RANDOM) * 5, CENTRED, 2.5)
    queries = queries_in_space(sentences, CENTRED, CENTRE)
    torch.testing.assert_close(queries.norm(dim=1), torch.ones(5), rtol=0, atol=1e-6)
    plain = F.normalize(sentences - CENTRE, dim=-1) @ clips[:, :-1].T
    assert (queries @ clips.T).argsort(1).tolist() == plain.argsort(1).tolist()


def test_the_name_of_a_class_reaches_the_floor_at_a_clip_of_that_class() -> None:
    """So do the names of all classes: one scale for all queries that some class answers."""
    logits = torch.full((40, 1, 40), -50.0)
    logits[range(40), 0, range(40)] = 50.0
    scores = queries_in_space(NAMED, CENTRED, CENTRE) @ clips_in_space(logits, CENTRED, 1.0).T
    torch.testing.assert_close(scores.diagonal(), torch.full((40,), REACH_FLOOR), rtol=0, atol=1e-6)


def test_a_query_far_from_every_class_is_not_raised_above_its_cosine() -> None:
    far = F.normalize(torch.randn(1, SENTENCE_DIM, generator=RANDOM), dim=-1)
    reach = float((F.normalize(far - CENTRE, dim=-1) @ F.normalize(CENTRED, dim=-1).T).max())
    assert reach < REACH_FLOOR
    assert queries_in_space(far, CENTRED, CENTRE)[0, -1] == 0


def test_class_names_are_wordnets_in_the_order_of_the_network() -> None:
    classes = read_classes()
    assert len(classes) == CLASSES
    assert [item.wnid for item in classes] == sorted({item.wnid for item in classes})
    assert (classes[0].name, classes[281].lemmas, classes[999].name) == ("tench", "tabby, tabby cat", "toilet tissue")
    assert classes[517].name == classes[134].name == "crane"  # told apart by their definitions
    assert [phrasing(classes[517]) for phrasing in PHRASINGS] == [
        "crane",
        "crane",
        "crane, lifts and moves heavy objects",
    ]
    assert all(item.lemmas and item.definition for item in classes)
