"""What every benchmark says at its end: the machine, the date and one JSON line. Also: models with random weights."""

from __future__ import annotations

import datetime
import json
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsearch.machine import cores, processor

if TYPE_CHECKING:
    from torch import Tensor

    from vidsearch.models.mobileviclip.load import Network


def machine() -> dict[str, Any]:
    """The processor, its cores that this process may use, and the versions that decide speed."""
    import torch

    return {
        "processor": processor(),
        "cores": cores(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }


def finish(benchmark: str, **figures: Any) -> None:
    """The last line of a benchmark: its figures, the machine and the date as one JSON object."""
    rounded = {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in figures.items()}
    print(json.dumps({"benchmark": benchmark, "date": datetime.date.today().isoformat(), **rounded, **machine()}))


@contextmanager
def model_with_random_weights(name: str) -> Iterator[Path]:
    """A folder of models that holds `name` with weights drawn from one seed, unless it is bundled."""
    from vidsearch.models.conversion.mobileviclip import write_model_folder
    from vidsearch.models.folder import BUNDLED_DIR
    from vidsearch.models.load import build

    with tempfile.TemporaryDirectory() as folder:
        if not (BUNDLED_DIR / name).is_dir():
            network = build(name)
            draw_weights(network)
            write_model_folder(network, Path(folder) / name, provenance={"weights": "drawn, untrained"})
        yield Path(folder)


def draw_weights(network: Network) -> None:
    """Give a network weights from one seed with which every branch does something.

    Fresh ones let every clip end at nearly the same vector, which the self-test of an installation refuses.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    for key, tensor in network.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim:
            tensor.copy_(_drawn(key, torch.randn(tensor.shape, generator=generator)))


def _drawn(key: str, x: Tensor) -> Tensor:
    """Standard normal values → a parameter of a size that keeps activations near 1."""
    if key.endswith("running_var"):
        return 1 + 0.1 * x.abs()
    if "layer_scale" in key or "temporal_embedding" in key:
        return 0.2 + 0.05 * x if "layer_scale" in key else 0.2 * x
    if x.ndim == 1:
        return 1 + 0.1 * x if key.endswith("weight") else 0.1 * x
    return (0.1 if ".temporal." in key else 1.0) * x / prod(x.shape[1:]) ** 0.5
