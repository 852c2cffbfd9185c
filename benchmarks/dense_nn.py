"""Exact neighbours: ours against FAISS's flat index and against the naive way, in one run on the same data.

    python benchmarks/dense_nn.py --keys 1000000 --queries 10000 --width 384 --k 50

Prints seconds, the memory that each search adds at its peak, the time as a multiple of ours, and the share of
queries whose neighbours are, in order, those that ours finds. Ours does more than either: its order is exact.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cribo.evaluation  # noqa: F401 (before torch: it says how idle threads wait)

# isort: split
import torch
from torch import Tensor

from cribo.evaluation.neighbours import faiss, faiss_search, nearest, tiled_search

Search = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


def naive(queries: Tensor, keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """All similarities of 256 queries at once, then top-k."""
    found = [(block @ keys.T).topk(k, dim=1) for block in queries.split(256)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def indexed(queries: Tensor, keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """FAISS's IndexFlatIP, building included."""
    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatIP(keys.shape[1])
    index.add(keys.numpy())
    values, indices = index.search(queries.numpy(), k)
    return torch.from_numpy(values), torch.from_numpy(indices)


def measured(search: Search, queries: Tensor, keys: Tensor, k: int) -> tuple[float, float, Tensor]:
    """Seconds, MiB above the start at the peak (sampled every 5 ms on the CPU), and the indices found."""
    cuda = keys.is_cuda
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
    given = parser.parse_args()
    if given.device == "cpu" and not Path("/proc/self/statm").exists():
        sys.exit("memory is read from /proc, which this system lacks")
    generator = torch.Generator().manual_seed(0)
    keys, queries = (
        torch.nn.functional.normalize(torch.randn(n, given.width, generator=generator), dim=1).to(given.device)
        for n in (given.keys, given.queries)
    )
    searches: dict[str, Search] = {"ours": nearest, "naive": naive}
    if given.device == "cpu" and faiss is not None:
        searches = {
            "ours (FAISS, then exact)": partial(nearest, search=faiss_search),
            "ours (tiles, then exact)": partial(nearest, search=tiled_search),
            "FAISS IndexFlatIP": indexed,
            "naive": naive,
        }
    print(
        f"{given.keys} keys, {given.queries} queries, width {given.width}, k {given.k}, {given.device}, "
        f"{torch.get_num_threads()} threads"
    )
    measured(next(iter(searches.values())), queries[:256], keys, given.k)  # libraries load, threads start
    first = None
    for name, search in searches.items():
        seconds, memory, indices = measured(search, queries, keys, given.k)
        first = first or (seconds, indices)
        same = (indices == first[1]).all(dim=1).float().mean().item()
        print(f"{name:26s} {seconds:8.2f} s  {memory:8.0f} MiB  {seconds / first[0]:5.2f}×  same order {100 * same:6.2f} %")


if __name__ == "__main__":
    main()
