"""Captions → the words that are compared: as Stanford's PTBTokenizer splits them, lower case, without punctuation.

Papers' scores go through that program (pycocoevalcap), which needs Java. `split_words` does the same for what captions
hold, so that there are scores without Java; a test compares the two where Java is there.
"""

from __future__ import annotations

import re

# What pycocoevalcap drops. The text is lower case by then, so "-LRB-" is never met and brackets stay, as "-lrb-".
DROPPED = frozenset(["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--",
                     "...", ";"])  # fmt: skip
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "{": "-lcb-", "}": "-rcb-", "[": "-lsb-", "]": "-rsb-"}
_CLITICS = r"'(?:s|m|d|re|ve|ll)(?!\w)"
_TOKEN = re.compile(
    r"https?://\S+|www\.\S+|[\w.]+@\w+\.\w+"
    r"|(?:[a-z]\.){2,}"  # u.s.
    r"|(?:mr|mrs|ms|dr|st|vs|jr|sr|etc|prof|inc|co|corp|ltd)\.(?=\s)"
    r"|no\.(?=\s\d)"
    r"|\d+(?:[.,:]\d+)*(?:st|nd|rd|th|s)?(?:[-/]\w+)*(?!\w)"
    r"|\w+?(?=n't(?!\w))|n't(?!\w)"
    rf"|\w+(?:[-/&_]\w+)*(?={_CLITICS})|{_CLITICS}"
    r"|\w+(?:[-/&_']\w+)*"
    r"|\.{2,}|-{2,}|[!?]+|``|''|\S"
)
_SPLIT = {"cannot": "can not", "gonna": "gon na", "gotta": "got ta", "wanna": "wan na", "gimme": "gim me",
          "lemme": "lem me", "'tis": "'t is", "'twas": "'t was"}  # fmt: skip
_AS_SIGN = {'"': "''", "…": "...", "’": "'", "‘": "`", "“": "``", "”": "''", "–": "--", "—": "--"}


def split_words(caption: str) -> str:
    """The words of a caption, a blank between two of them."""
    text = caption.lower().replace("’", "'")
    tokens = [_written(found) for found in _TOKEN.findall(text)]
    return " ".join(token for token in " ".join(tokens).split() if token not in DROPPED)


def _written(token: str) -> str:
    return _SPLIT.get(token) or _BRACKETS.get(token) or _AS_SIGN.get(token) or token
