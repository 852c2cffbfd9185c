"""Exact neighbours: our search against FAISS's flat index and a naive search, in one run on the same data.

    python benchmarks/dense_nn.py --keys 1000000 --queries 10000 --width 384 --k 50
    python benchmarks/dense_nn.py --grow 100000 400000 1000000 4000000 --queries 1000

Prints seconds, the memory that each search adds at its peak, the time as a multiple of ours, and the share of
queries whose neighbours are those that ours finds, in the same order. Ours does more than the others: its order is exact.

"on disk" reads the keys from a file in chunks, as an evaluation does with more features than compute.feature_memory_gb.
Its memory includes the pages of the file that are mapped at the peak, which the system reclaims when it needs them.
`--grow` shows how "on disk" scales with the number of keys: seconds, memory, and seconds per million keys.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cribo.evaluation  # noqa: F401 (before torch: it sets how idle threads wait)

# isort: split
import numpy as np
import torch
from torch import Tensor

from cribo.evaluation.features.feature_rows import feature_rows
from cribo.evaluation.features.patch_features import Patches
from cribo.evaluation.harness.progress import Progress
from cribo.evaluation.neighbours.search import faiss, faiss_search, nearest, tiled_search
from cribo.evaluation.neighbours.shared_search import shared_search
from cribo.training.engine.distributed import World

Search = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


def naive(queries: Tensor, keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Compute all similarities of 256 queries at once, then take the top k."""
    found = [(block @ keys.T).topk(k, dim=1) for block in queries.split(256)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def indexed(queries: Tensor, keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Search with FAISS's IndexFlatIP, building the index included."""
    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatIP(keys.shape[1])
    index.add(keys.numpy())
    values, indices = index.search(queries.numpy(), k)
    return torch.from_numpy(values), torch.from_numpy(indices)


def on_disk(keys: Tensor) -> Patches:
    """Return the keys as the patches of one image, in a temporary file."""
    features = feature_rows(len(keys), keys.shape[1], memory_gb=0)
    for first in range(0, len(keys), 1 << 18):
        features[first : first + (1 << 18)] = keys[first : first + (1 << 18)]
    return as_patches(features)


def as_patches(features: Tensor) -> Patches:
    rows = len(features)
    return Patches(features, np.arange(rows), np.zeros(rows, np.uint8), ((1, rows),), np.array([0, rows]), ((0,),))


def streamed(queries: Tensor, memory: Patches, k: int) -> tuple[Tensor, Tensor]:
    """Search with ours, reading the keys from a file in chunks."""
    alone, silent = World(0, 1, torch.device("cpu")), Progress("", math.inf, every=math.inf)
    kept = np.ones(len(memory.rows), bool)
    ((_, similarities, rows),) = shared_search(as_patches(queries), memory, kept, k, alone, silent)
    return similarities, torch.from_numpy(rows)


def measured(search: Search, queries: Tensor, keys: Tensor | Patches, k: int) -> tuple[float, float, Tensor]:
    """Return seconds, peak memory in MiB above the start (sampled every 5 ms on the CPU), and the indices found."""
    cuda = queries.is_cuda
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start_memory = torch.cuda.memory_allocated() if cuda else _resident()
    peak, stop = [start_memory], threading.Event()

    def watch() -> None:
        while not stop.wait(0.005):
            peak[0] = max(peak[0], _resident())

    watcher = threading.Thread(target=watch)
    if not cuda:
        watcher.start()
    start = time.perf_counter()
    indices = search(queries, keys, k)[1]
    if cuda:
        torch.cuda.synchronize()
        peak[0] = torch.cuda.max_memory_allocated()
    seconds = time.perf_counter() - start
    stop.set()
    if not cuda:
        watcher.join()
    return seconds, (peak[0] - start_memory) / 2**20, indices


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--grow", type=int, nargs="+", metavar="KEYS", help="show growth instead of the comparison")
    given = parser.parse_args()
    if given.device == "cpu" and not Path("/proc/self/statm").exists():
        sys.exit("memory is read from /proc, which this system lacks")
    if given.grow:
        growth(given.grow, given.queries, given.width, given.k)
        return
    generator = torch.Generator().manual_seed(0)
    keys, queries = (unit(n, given.width, generator).to(given.device) for n in (given.keys, given.queries))
    searches: dict[str, Search] = {"ours": nearest, "naive": naive}
    if given.device == "cpu" and faiss is not None:
        searches = {
            "ours (FAISS, then exact)": partial(nearest, search=faiss_search),
            "ours (tiles, then exact)": partial(nearest, search=tiled_search),
            "FAISS IndexFlatIP": indexed,
            "naive": naive,
        }
        stored = on_disk(keys)
        searches["ours (on disk, in chunks)"] = lambda queries, _, k: streamed(queries, stored, k)
    print(
        f"{given.keys} keys, {given.queries} queries, width {given.width}, k {given.k}, {given.device}, "
        f"{torch.get_num_threads()} threads"
    )
    measured(next(iter(searches.values())), queries[:256], keys, given.k)  # warm-up: libraries load, threads start
    first = None
    for name, search in searches.items():
        seconds, memory, indices = measured(search, queries, keys, given.k)
        first = first or (seconds, indices)
        same = (indices == first[1]).all(dim=1).float().mean().item()
        print(f"{name:26s} {seconds:8.2f} s  {memory:8.0f} MiB  {seconds / first[0]:5.2f}×  same order {100 * same:6.2f} %")


def unit(rows: int, width: int, generator: torch.Generator) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(rows, width, generator=generator), dim=1)


def growth(sizes: Sequence[int], queries: int, width: int, k: int) -> None:
    """Print time and memory of ours for more and more keys, taken from the start of a single file."""
    generator = torch.Generator().manual_seed(0)
    asked, features = unit(queries, width, generator), feature_rows(max(sizes), width, memory_gb=0)
    for first in range(0, max(sizes), 1 << 18):
        rows = min(1 << 18, max(sizes) - first)
        features[first : first + rows] = unit(rows, width, generator)
    print(f"{queries} queries, width {width}, k {k}, keys on disk, {torch.get_num_threads()} threads")
    measured(streamed, asked[:256], as_patches(features[: min(sizes)]), k)  # warm-up: libraries load, threads start
    for size in sizes:
        seconds, memory, _ = measured(streamed, asked, as_patches(features[:size]), k)
        print(
            f"{size:10d} keys  {seconds:8.2f} s  {memory:8.0f} MiB  {seconds * 1e6 / size:8.2f} s a million keys", flush=True
        )


if __name__ == "__main__":
    main()
