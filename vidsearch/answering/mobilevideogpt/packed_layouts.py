"""The layouts of a language model's packed weights: measured once on a machine, and kept."""

from __future__ import annotations

import torch

from vidsearch import measurements
from vidsearch.machine import is_busy, processor
from vidsearch.models.qwen2.config import LanguageModelConfig
from vidsearch.models.qwen2.linears import Product, WeightFormat, usable_layouts
from vidsearch.models.qwen2.measure_layouts import measured_layouts
from vidsearch.models.qwen2.packed import Layouts, products

WORTH_IT = 50_000_000  # weights that a token reads; a smaller model is packed and read in no time
_QUESTION = "layouts"


def layouts_for(config: LanguageModelConfig, weights: WeightFormat) -> Layouts:
    """The layout of each product, as it was kept for this machine or is measured now, in less than a second.

    {}, which stands for the usual layouts, for a small model, and on a machine that is busy with other work.
    """
    shapes = products(config)
    sizes = [sum(parts) * inputs for parts, inputs in shapes]
    if sum(sizes[:-1]) * config.num_hidden_layers + sizes[-1] < WORTH_IT:
        return {}
    names = {_name(product): product for product in shapes}
    depends_on = {
        "processor": processor(),
        "threads": str(torch.get_num_threads()),
        "torch": str(torch.__version__),
        "weights": weights,
        "products": ", ".join(names),
    }
    found = measurements.kept(_QUESTION, depends_on) or {}
    if all(found.get(name) in usable_layouts(parts, weights) for name, (parts, _) in names.items()):
        return {product: found[name] for name, product in names.items()}
    if is_busy():
        return {}
    layouts = measured_layouts(shapes, weights)
    measurements.keep(_QUESTION, depends_on, {name: layouts[product] for name, product in names.items()})
    return layouts


def _name(product: Product) -> str:
    """`896+128+128x896`: outputs of the parts, inputs."""
    parts, inputs = product
    return f"{'+'.join(map(str, parts))}x{inputs}"
