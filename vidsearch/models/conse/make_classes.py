"""Writes assets/imagenet_classes.tsv: what WordNet says of the 1,000 classes of ILSVRC 2012.

    python -m vidsearch.models.conse.make_classes IDS DATA_NOUN

IDS holds the 1,000 synset ids, as in n02084071, anywhere in its text, for example the file `imagenet1k_to_21k.json` of
the package imagenet-classes 0.2.1. DATA_NOUN is `data.noun` of WordNet 3.0, for example of Debian's wordnet-base; an id
is n and the synset's offset in that file. The network's classes are the ids in ascending order. A row is the id, the
lemmas separated by ", ", and the first definition of the gloss. Format of data.noun: wndb(5WN).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from vidsearch.models.conse.classes import ASSET, CLASSES


def main() -> None:
    ids_file, data_noun = map(Path, sys.argv[1:])
    ids = sorted(set(re.findall(r"n\d{8}", ids_file.read_text(encoding="utf-8"))))
    if len(ids) != CLASSES:
        raise SystemExit(f"{ids_file} holds {len(ids)} ids, not {CLASSES}")
    synsets = _synsets(data_noun)
    rows = ["\t".join((wnid, *synsets[wnid])) for wnid in ids]
    ASSET.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _synsets(data_noun: Path) -> dict[str, tuple[str, str]]:
    """Id → lemmas, and the first definition of the gloss."""
    found = {}
    for line in data_noun.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):  # the licence, at the top
            continue
        fields, _, gloss = line.partition(" | ")
        offset, _, _, count, *words = fields.split()
        lemmas = [word.replace("_", " ") for word in words[: 2 * int(count, 16) : 2]]  # each is followed by its sense
        definition = gloss.partition(";")[0].partition(' "')[0].strip()
        found[f"n{offset}"] = (", ".join(lemmas), definition)
    return found


if __name__ == "__main__":
    main()
