"""How long does a model take to open, and how much memory does it take?

    python benchmarks/loading.py [--model mobileviclip-small] [--runs 5]

Each run is a process of its own. The networks: torch and the program's modules are imported before the clock starts, so
that what is measured is opening the file, building the network and, as `index` runs it, folding and casting it. Memory
is what the resident set grew by: after loading, at its highest until then, and after every weight was read. The text
tower of a query: opened without torch, from the first import of the embedder on. Weights are drawn from a seed; what
they are changes nothing here. The disk's cache holds the files after the first run, which is not counted. Linux alone
tells the memory. Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import finish, model_with_random_weights

from vidsearch.models.folder import TEXT_FILE, WEIGHTS_FILE, ModelFolder, open_folder

Measured = dict[str, float]
TEXT = "text tower"


def measure_training_form(folder: ModelFolder) -> Measured:
    import torch

    from vidsearch.models.mobileviclip.load import load_network

    before, started = resident(), (time.perf_counter(), time.process_time())
    network = load_network(folder, "train")
    return after_loading(torch.nn.ModuleList([network]), before, started)


def measure_for_indexing(folder: ModelFolder) -> Measured:
    import torch

    from vidsearch.models.device import fast_dtype
    from vidsearch.models.mobileviclip.clip_encoder import MobileCLIPEncoder

    cpu = torch.device("cpu")
    before, started = resident(), (time.perf_counter(), time.process_time())
    encoder = MobileCLIPEncoder(folder, cpu, fast_dtype(cpu))
    return after_loading(torch.nn.ModuleList([encoder.network]), before, started)


def after_loading(network: object, before: Measured, started: tuple[float, float]) -> Measured:
    """Seconds since `started`, and bytes that memory grew by since `before`."""
    import torch

    assert isinstance(network, torch.nn.Module)
    wall, processor = time.perf_counter() - started[0], time.process_time() - started[1]
    loaded = resident()
    for tensor in network.state_dict().values():
        tensor.sum()
    read = resident()
    return {
        "wall_s": wall,
        "processor_s": processor,
        "loaded_bytes": loaded["VmRSS"] - before["VmRSS"],
        "peak_bytes": loaded["VmHWM"] - before["VmRSS"],
        "read_bytes": read["VmRSS"] - before["VmRSS"],
        "own_bytes": read["RssAnon"] - before["RssAnon"],  # no file stands behind these
    }


def measure_text_tower(folder: ModelFolder) -> Measured:
    before, started = resident(), (time.perf_counter(), time.process_time())
    from vidsearch.embedding.onnx_text import OnnxTextEncoder
    from vidsearch.embedding.text_embedder import ModelTextEmbedder

    imported = time.perf_counter(), time.process_time()
    embedder = ModelTextEmbedder(folder, OnnxTextEncoder(folder))
    wall, processor = time.perf_counter() - imported[0], time.process_time() - imported[1]
    loaded = resident()
    embedder.embed(["a dog runs along the beach"])
    read = resident()
    return {
        "wall_s": wall,
        "processor_s": processor,
        "with_imports_s": wall + imported[0] - started[0],
        "with_imports_processor_s": processor + imported[1] - started[1],
        "loaded_bytes": loaded["VmRSS"] - before["VmRSS"],
        "peak_bytes": loaded["VmHWM"] - before["VmRSS"],
        "read_bytes": read["VmRSS"] - before["VmRSS"],
        "own_bytes": read["RssAnon"] - before["RssAnon"],
    }


MEASURES = {"training form": measure_training_form, "for indexing": measure_for_indexing, TEXT: measure_text_tower}


def resident() -> Measured:
    """Bytes by the kernel's names: VmRSS in memory, VmHWM its highest, RssAnon the part that no file stands behind."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {
        words[0].rstrip(":"): 1024.0 * int(words[1])
        for words in lines
        if words[0].startswith(("VmRSS", "VmHWM", "RssAnon"))
    }


def repeated(what: str, folder: Path, runs: int) -> Measured:
    """The median of each figure over fresh processes."""
    command = [sys.executable, __file__, "--measure", what, "--folder", str(folder)]
    found = []
    for number in range(runs + 1):
        line = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
        if number:
            found.append(json.loads(line))
    return {figure: statistics.median(one[figure] for one in found) for figure in found[0]}


def show(what: str, measured: Measured, file_bytes: int) -> None:
    memory = ", ".join(
        f"{name} {measured[f'{name}_bytes'] / file_bytes:.2f}" for name in ("loaded", "peak", "read", "own")
    )
    print(
        f"{what:14} {1000 * measured['wall_s']:6.0f} ms, {1000 * measured['processor_s']:6.0f} ms of processor time; "
        f"memory, times the file of {file_bytes / 1e6:.0f} MB: {memory}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mobileviclip-small")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--measure", choices=MEASURES, help="one measurement in this process, as JSON")
    parser.add_argument("--folder", type=Path, help="a model folder; default: one with random weights")
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(MEASURES[given.measure](open_folder(given.folder))))
        return
    if given.folder:
        compare(given.folder, given.runs)
        return
    with model_with_random_weights(given.model) as models:
        compare(models / given.model, given.runs)


def compare(folder: Path, runs: int) -> None:
    weights = (folder / WEIGHTS_FILE).stat().st_size
    text = sum(file.stat().st_size for file in folder.glob(f"{TEXT_FILE}*"))
    results = {}
    for what in MEASURES:
        results[what] = repeated(what, folder, runs)
        show(what, results[what], text if what == TEXT else weights)
    print(f"{'':14} with the imports of the text tower {1000 * results[TEXT]['with_imports_s']:.0f} ms")
    finish(
        "loading", model=open_folder(folder).name, runs=runs, weights_bytes=weights, text_bytes=text, results=results
    )


if __name__ == "__main__":
    main()
