"""all-MiniLM-L6-v2: sentences → unit vectors. Needed for conversion only; queries run its ONNX form.

MiniLM (Wang et al., NeurIPS 2020) in BERT's layout (Devlin et al., NAACL 2019, section 3): 6 layers, 384 wide, 12
heads; sentence-BERT's mean pooling (Reimers and Gurevych, EMNLP 2019, section 3). Attribute names are those of the
published checkpoint.

Axis letters: B texts, L tokens of the longest, W width (384), H heads, d = W / H.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.models.conse.config import SENTENCE_DIM

WIDTH = SENTENCE_DIM
HEADS = 12
LAYERS = 6
INTERMEDIATE = 1536
VOCABULARY = 30522
POSITIONS = 512
TOKEN_TYPES = 2
EPS = 1e-12  # of layer norm


class MiniLM(nn.Module):
    """The sentence encoder. The checkpoint's pooler, of BERT's own training, is not used and not here."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token ids and 1 for a token, 0 for padding, both (B, L) int64 → (B, W), rows of unit length."""
        x = self.embeddings(ids)  # (B, L, W)
        attended = mask[:, None, None].bool()  # (B, 1, 1, L)
        for layer in self.encoder.layer:  # type: ignore[union-attr]
            x = layer(x, attended)
        weight = mask[..., None].to(x.dtype)
        return F.normalize((x * weight).sum(1) / weight.sum(1), dim=-1)


class Embeddings(nn.Module):
    """Word, position and token type, added and normalised; every token is of the first type."""

    def __init__(self) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(VOCABULARY, WIDTH)
        self.position_embeddings = nn.Embedding(POSITIONS, WIDTH)
        self.token_type_embeddings = nn.Embedding(TOKEN_TYPES, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=EPS)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, L) → (B, L, W)."""
        positions = self.position_embeddings.weight[: ids.shape[1]]
        words = self.word_embeddings(ids) + positions + self.token_type_embeddings.weight[0]
        normed: Tensor = self.LayerNorm(words)
        return normed


class Layer(nn.Module):
    """One transformer layer, normalised after each part."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": SelfAttention(), "output": AddAndNorm(WIDTH)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, INTERMEDIATE)})
        self.output = AddAndNorm(INTERMEDIATE)

    def forward(self, x: Tensor, attended: Tensor) -> Tensor:
        """(B, L, W) and (B, 1, 1, L) → (B, L, W)."""
        x = self.attention["output"](self.attention["self"](x, attended), x)
        hidden = F.gelu(self.intermediate["dense"](x))
        out: Tensor = self.output(hidden, x)
        return out


class SelfAttention(nn.Module):
    """Twelve heads of 32 values."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, attended: Tensor) -> Tensor:
        """(B, L, W) → the same shape."""
        q, k, v = (part(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attended)  # (B, H, L, d)
        return mixed.transpose(1, 2).flatten(2)


class AddAndNorm(nn.Module):
    """A projection to the width of the layer, added to what went in, normalised."""

    def __init__(self, width_in: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width_in, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, eps=EPS)

    def forward(self, hidden: Tensor, x: Tensor) -> Tensor:
        """(B, L, width_in) and (B, L, W) → (B, L, W)."""
        normed: Tensor = self.LayerNorm(self.dense(hidden) + x)
        return normed


def without_unused(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the published file that the network has: no pooler, no stored row of position numbers."""
    return {
        key: tensor
        for key, tensor in tensors.items()
        if not key.startswith("pooler.") and key != "embeddings.position_ids"
    }


@torch.no_grad()
def embed_padded(network: MiniLM, rows: list[list[int]]) -> Tensor:
    """Token ids of texts of any lengths → (B, W)."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    vectors: Tensor = network(ids, mask)
    return vectors
