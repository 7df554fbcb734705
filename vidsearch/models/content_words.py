"""Which words of a query say what to look for. No torch."""

from __future__ import annotations

# Words without content of their own: a query of these and of unknown words has no content.
SMALL_WORDS = frozenset(("a", "an", "the", "at", "by", "for", "from", "in", "of", "on", "to", "with"))
SMALL_WORDS |= frozenset(("and", "are", "is", "it", "its", "or", "that", "then", "there", "this"))


def has_content(word: str) -> bool:
    """Whether a word is more than signs or a small word; a sign beyond ASCII, an emoji perhaps, may mean something."""
    return word.lower() not in SMALL_WORDS and any(char.isalnum() or not char.isascii() for char in word)
