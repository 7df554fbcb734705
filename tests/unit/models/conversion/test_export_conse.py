"""The sentence encoder in ONNX: the vectors of torch, for texts of any lengths together, from matrices in float16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vidsearch.models.conse.config import EMBED_DIM, SENTENCE_DIM
from vidsearch.models.conse.minilm import MiniLM, embed_padded
from vidsearch.models.conse.query_tokenizer import CONTEXT, IDS, POSITIONS
from vidsearch.models.conse.space import queries_in_space
from vidsearch.models.conversion.export_conse import export_query_encoder
from vidsearch.models.onnx_check import check_graph

ROWS = [[101, 102], [101, 1037, 3899, 102], [101, *range(3000, 3060), 102]]


@pytest.fixture(scope="module")
def network() -> MiniLM:
    torch.manual_seed(0)
    return MiniLM().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def named() -> torch.Tensor:
    return F.normalize(torch.randn(12, SENTENCE_DIM, generator=torch.Generator().manual_seed(1)), dim=-1)


def test_the_graph_gives_the_vectors_of_torch(network: MiniLM, named: torch.Tensor, tmp_path: Path) -> None:
    import onnxruntime

    centre = named.mean(0)
    path = tmp_path / "text.onnx"
    export_query_encoder(network.state_dict(), named - centre, centre, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    longest = max(map(len, ROWS))
    ids = np.array([row + [0] * (longest - len(row)) for row in ROWS])
    positions = np.tile(np.arange(longest), (len(ROWS), 1))
    got = session.run(None, {IDS: ids, POSITIONS: positions})[0]
    expected = queries_in_space(embed_padded(network, ROWS), named - centre, centre).numpy()
    assert got.shape == (3, EMBED_DIM)
    assert float((got * expected).sum(1).min()) > 0.999  # what rounding matrices to float16 may cost
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)
    alone = session.run(None, {IDS: ids[:1, :2], POSITIONS: positions[:1, :2]})[0]
    np.testing.assert_allclose(alone, got[:1], atol=1e-5)
    check_graph(path, {name: np.zeros((32, CONTEXT), np.int64) for name in (IDS, POSITIONS)}, EMBED_DIM)
    assert path.with_name("text.onnx.data").stat().st_size < 47_000_000  # half of the 91 MB that are published
