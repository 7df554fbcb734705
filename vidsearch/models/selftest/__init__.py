"""Does an installed model do what it should? What can be told without its training data."""

from __future__ import annotations

from vidsearch.models.folder import ModelFolder
from vidsearch.models.selftest.findings import Finding


def self_test(folder: ModelFolder) -> list[Finding]:
    """Load every form of an installed model and examine it. Raises ModelError where it cannot be loaded."""
    if folder.kind == "answers":
        from vidsearch.models.selftest.answers import self_test_of_answers  # late: other networks, other tokenizers

        return self_test_of_answers(folder)
    from vidsearch.models.selftest.retrieval import self_test_of_retrieval

    return self_test_of_retrieval(folder)
