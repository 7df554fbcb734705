"""Every stand-in is read as the benchmark whose layout it has; nothing is embedded or asked here."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidsearch.evaluation.action_sets import ACTION_SETS, read_actions
from vidsearch.evaluation.grounding_sets import GROUNDING_SETS, read_grounding
from vidsearch.evaluation.question_sets import QUESTION_SETS, read_questions
from vidsearch.evaluation.retrieval_sets import RETRIEVAL_SETS, read_set
from vidsearch.training.world.stand_ins import STAND_INS

READERS = {
    **dict.fromkeys(RETRIEVAL_SETS, read_set),
    **dict.fromkeys(ACTION_SETS, lambda name, data: read_actions(name, data).videos),
    **dict.fromkeys(QUESTION_SETS, read_questions),
    **dict.fromkeys(GROUNDING_SETS, read_grounding),
}


@pytest.mark.parametrize("name", sorted(STAND_INS.keys() & READERS.keys() - {"qvhighlights"}))  # which is minutes long
def test_a_stand_in_has_its_benchmarks_layout(name: str, tmp_path: Path) -> None:
    read = READERS[name](name, STAND_INS[name](tmp_path / "data", 2, 2026))
    assert len(read) >= 2 or name == "hmdb51"
    assert all(item.path is not None and item.path.is_file() for item in read)
