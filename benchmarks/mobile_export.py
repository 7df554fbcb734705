"""What exports cost and how well they agree with torch: size, cosines and conversion time of each target.

    python benchmarks/mobile_export.py mobileviclip-tiny
    python benchmarks/mobile_export.py mobileviclip-tiny --tower text --targets litert:fp32,litert:int8-weights

The bundled model has its own weights; published sizes get random ones, with every part along time at work and batch
norms that know the examples, as those of a trained network know its data: without that the vectors of all clips nearly
coincide, and what rounding does to them says nothing. A line of JSON for each file.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from vidsearch.models.conversion.mobile.targets import target_named
from vidsearch.models.conversion.mobile.tower import Tower
from vidsearch.models.exports import content_bytes, fidelity
from vidsearch.models.folder import BUNDLED_DIR, open_folder
from vidsearch.models.mobileviclip.load import Network, build, load_network

DEFAULT = "onnx:fp32,onnx:fp16,onnx:int8-weights,coreml:fp16,coreml:int8-weights,executorch:fp32"


def network_of(name: str) -> Network:
    """In its inference form."""
    if (BUNDLED_DIR / name).is_dir():
        return load_network(open_folder(BUNDLED_DIR / name), "inference")
    torch.manual_seed(0)
    network = build(name)
    for key, tensor in network.state_dict().items():
        if "temporal" in key and tensor.is_floating_point() and "running_var" not in key:
            tensor.normal_(std=0.1)
        elif "layer_scale" in key:
            tensor.fill_(0.1)
    know_the_examples(network)
    return network.reparameterize()


@torch.no_grad()
def know_the_examples(network: Network) -> None:
    """Mean and variance in every batch norm are those of the clips and texts that prove an export."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over what is seen
    examples = Tower("clip", network)
    network.train()
    network.encode_clips(torch.from_numpy(examples.clips))
    network.encode_text(examples.token_ids)
    network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--targets", default=DEFAULT)
    parser.add_argument("--tower", choices=("clip", "text"), default="clip")
    given = parser.parse_args()
    torch.set_num_threads(1)
    tower = Tower(given.tower, network_of(given.model))
    for entry in given.targets.split(","):
        name, precision = entry.split(":")
        target = target_named(name)
        wanted, exporter = target.require_precision(precision), target.open()
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"tower{target.suffix}"
            start = time.process_time()
            exporter.write(tower, wanted, path)
            took = time.process_time() - start
            found = fidelity(exporter.run(path, tower), tower.expected)
            row = {"model": given.model, "tower": given.tower, "target": entry, "bytes": content_bytes(path)}
        print(json.dumps({**row, "conversion_cpu_s": round(took, 2), **asdict(found)}), flush=True)


if __name__ == "__main__":
    main()
