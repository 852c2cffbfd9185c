"""Clustering, nearest neighbours and losses: ours against the naive form of the paper's equations, on the same data.

    python benchmarks/method.py                       ViT-S/16, 224 px, batch 8, K 64, S 1000
    python benchmarks/method.py --growth              and how each grows with K, S and the batch
    python benchmarks/method.py --out results/bench   writes method.json and method.md there

Every measurement runs in its own process, which makes the inputs and first solves a tiny problem, so that libraries load.
Memory: one run, with an allocator that returns freed blocks at once. The figure is the kernel's high-water mark of resident
memory during the run, minus the memory in use before it. Time: four runs with the usual allocator, of which the fastest of
the last three counts. Ours and the naive form take turns. The ratios are printed too, with how far both results agree.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# isort: split
import naive_method as naive
import torch
from torch.nn import functional as F

from cribo.method.clustering import ClusteringSettings, joint_space_clustering
from cribo.method.losses import Softmax, soft_cross_entropy
from cribo.method.memory_bank import MemoryBank, push, retrieve
from cribo.method.rows import Rows
from cribo.model.networks.head import Head

THREADS = int(os.environ.get("OMP_NUM_THREADS", 0)) or os.cpu_count()
FORK = multiprocessing.get_context("fork")  # libraries are imported once, although every measurement has its own process
BASE = {"B": 8, "K": 64, "S": 1000, "N": 196, "d": 384, "L": 65536}
TINY = {"B": 2, "K": 3, "S": 4, "N": 9, "d": 16, "L": 32}
GROWTH = {"K": [16, 32, 64, 128], "S": [250, 500, 1000, 2000], "B": [4, 8, 16]}
PARTS = {  # each part, and the sizes it grows with
    "clustering": ("K", "B"),
    "neighbours": ("K", "S", "B"),
    "neighbours_packed": ("K", "S", "B"),
    "losses": ("K", "B"),
}
TARGETS = {
    "clustering": {"time": 10, "memory": 20},
    "neighbours": {"time": 3},
    "neighbours_packed": {"time": 3},
    "losses": {"memory": 3},
}
LAMBDA_POS, SHARPNESS, TAU_S, TAU_T = 2.0, 20.0, 0.1, 0.04
LIVE = 0.6  # share of the K objects that both views show; with the released clustering, 26 to 49 of 64


def clustering(size: dict, ours: bool) -> Callable[[], torch.Tensor]:
    """Problem: tokens of two overlapping crops per image, which show 20 things → cluster labels."""
    B, K, n, d = size["B"], size["K"], 2 * size["N"], size["d"]
    g = torch.Generator().manual_seed(0)
    things = torch.randn(B, 20, d, generator=g).gather(1, torch.randint(20, (B, n, 1), generator=g).expand(-1, -1, d))
    tokens = things + 0.7 * torch.randn(B, n, d, generator=g)
    side = round(size["N"] ** 0.5)
    grid = torch.cartesian_prod(*[(torch.arange(side) + 0.5) / side] * 2).flip(1)
    boxes = torch.rand(B, 2, 1, 2, generator=g) * 200
    positions = (boxes + grid * (150 + 100 * torch.rand(B, 2, 1, 2, generator=g))).flatten(1, 2)
    seeds = torch.stack([torch.randperm(n, generator=g)[:K] for _ in range(B)])
    if ours:
        settings = ClusteringSettings(K, LAMBDA_POS, SHARPNESS, 5, 5, "histogram", True, "unit", B)
        return lambda: joint_space_clustering(tokens, positions, seeds, settings)
    return lambda: naive.cluster(tokens, positions, seeds, K, LAMBDA_POS, SHARPNESS)


def neighbours_packed(size: dict, ours: bool) -> Callable[[], torch.Tensor]:
    """Problem: `neighbours` against a naive bank that stores and queries only real objects, as the released code does."""
    return neighbours(size, ours, packed=True)


def neighbours(size: dict, ours: bool, packed: bool = False) -> Callable[[], torch.Tensor]:
    """Problem: a full bank and a batch → nn(c_m) and its other view, for objects that both views show; then the update."""
    B, K, S, d = size["B"], size["K"], size["S"], size["d"]
    g = torch.Generator().manual_seed(0)
    kinds = torch.randn(100, d, generator=g)

    def draw(images: int) -> tuple[torch.Tensor, torch.Tensor]:
        kind = kinds[torch.randint(len(kinds), (images, K), generator=g)]
        objects = torch.stack([kind + 0.7 * torch.randn(images, K, d, generator=g) for _ in range(2)])
        return objects, torch.rand(images, K, generator=g) < LIVE

    stored, stored_valid = draw(S)
    objects, valid = draw(B)
    if ours:
        bank = MemoryBank.empty(S, K, d)
        push(bank, stored, stored_valid, torch.arange(S))
        del stored

        def step() -> torch.Tensor:
            found = retrieve(bank, objects, valid)
            push(bank, objects, valid, torch.arange(B))
            return torch.cat([found.objects[:, valid], found.partners[:, valid]])
    elif packed:
        bank = naive.Bank(stored[:, stored_valid], stored_valid.sum(dim=1))
        del stored

        def step() -> torch.Tensor:
            found = torch.cat(bank.neighbours(objects[:, valid]))
            bank.update(objects[:, valid], valid.sum(dim=1))
            return found
    else:
        bank = naive.PaddedBank(stored, stored_valid)
        del stored

        def step() -> torch.Tensor:
            found = torch.cat(bank.neighbours(objects)).unflatten(1, (B, K))[:, valid]
            bank.update(objects, valid)
            return found

    return step


def losses(size: dict, ours: bool) -> Callable[[], torch.Tensor]:
    """Problem: features of both networks → head, three losses and all gradients. It yields the loss and two gradients."""
    B, K, d, L = size["B"], size["K"], size["d"], size["L"]
    g = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    wide = size["L"] // 32
    student, teacher = (Head(d, wide, min(256, wide), L, False, images=True, objects=True) for _ in range(2))
    draw = lambda *shape: torch.randn(*shape, generator=g)  # noqa: E731
    valid = torch.rand(B, K, generator=g) < LIVE
    features = {
        "valid": valid,
        "accepted": valid & (torch.rand(2, B, K, generator=g) < 0.5),
        "student_images": draw(2, B, d).requires_grad_(),
        "teacher_images": draw(2, B, d),
        "student_objects": draw(2, B, K, d).requires_grad_(),
        "teacher_objects": draw(2, B, K, d),
        "neighbours": draw(2, B, K, d),
    }
    centres = draw(L) / 10, draw(L) / 10

    def compute() -> torch.Tensor:
        if not ours:
            return naive.losses(student, teacher, features, centres, TAU_S, TAU_T)
        with torch.no_grad():
            image_targets, object_targets = (teacher(features[f"teacher_{x}"]) for x in ("images", "objects"))
            near_targets = teacher(features["neighbours"])
            teacher_images, teacher_objects = teacher.image_prototypes(), teacher.object_prototypes()
        images, objects = (student(features[f"student_{x}"]).flip(0) for x in ("images", "objects"))
        shares = torch.stack([valid.expand(2, -1, -1), features["accepted"]]).float()
        shares = 0.5 * shares / shares.sum(dim=(2, 3), keepdim=True).clamp_min(1)
        whole = soft_cross_entropy(
            images.flatten(0, 1), Softmax(student.image_prototypes(), TAU_S), image_targets.flatten(0, 1)[None],
            Softmax(teacher_images, TAU_T, centres[0]), torch.full((1, 2 * B), 0.5 / B),
        )  # fmt: skip
        parts = soft_cross_entropy(
            objects.flatten(0, 2), Softmax(student.object_prototypes(), TAU_S),
            torch.stack([object_targets, near_targets]).flatten(1, 3), Softmax(teacher_objects, TAU_T, centres[1]),
            shares.flatten(1), Rows.of((shares != 0).any(dim=0).flatten()),
        )  # fmt: skip
        return whole.total + parts.total

    def step() -> torch.Tensor:
        student.zero_grad(set_to_none=True)
        features["student_images"].grad = features["student_objects"].grad = None
        loss = compute()
        loss.backward()
        gradients = features["student_objects"].grad[:, valid], student.object_prototypes.direction.grad[:200]
        return torch.cat([loss.detach()[None], *(F.normalize(x.flatten(), dim=0) for x in gradients)])

    return step


PROBLEMS = {
    "clustering": clustering,
    "neighbours": neighbours,
    "neighbours_packed": neighbours_packed,
    "losses": losses,
}


def resident(mark: str) -> int:
    """Return the resident bytes of this process: now (VmRSS), or the maximum since the mark was reset (VmHWM)."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(mark))
    return int(line.split()[1]) * 1024


def measure(part: str, form: str, quantity: str, size: dict, path: Path) -> None:
    """In a child process, measure and write bytes and the result, or seconds, to the file `path`."""
    torch.set_num_threads(THREADS)
    make = PROBLEMS[part]
    if quantity == "bytes":
        libc = ctypes.CDLL(None)  # blocks of 64 KiB and more return to the system when freed
        libc.mallopt(-3, 65536), libc.mallopt(-1, 0)
    step = make(size, form == "ours")
    make(TINY, form == "ours")()
    if quantity == "bytes":
        Path("/proc/self/clear_refs").write_text("5")  # resets the kernel's high-water mark
        before = resident("VmRSS")
        found = step()
        torch.save({"measured": resident("VmHWM") - before, "result": found}, path)
        return
    times = []
    for _ in range(4):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    torch.save({"measured": min(times[1:])}, path)


def compare(part: str, size: dict, folder: Path) -> dict:
    """Measure both forms of a part at one size, and how far their results agree; exit if they do not."""
    found, results = {"ours": {}, "naive": {}}, {}
    for quantity in ("bytes", "seconds"):
        for form in found:
            path = folder / f"{part}-{form}-{quantity}.pt"
            child = FORK.Process(target=measure, args=(part, form, quantity, size, path))
            child.start()
            child.join()
            if child.exitcode:
                sys.exit(f"{part} {size}: the process that measures the {quantity} of {form} ended with {child.exitcode}")
            left = torch.load(path)
            found[form][quantity] = left["measured"]
            results[form] = left.get("result", results.get(form))
    a, b = results["ours"], results["naive"]
    same = (a == b) if a.dtype == torch.long else torch.isclose(a, b, rtol=1e-3, atol=1e-4)
    agreement = same.float().mean().item()
    if a.shape != b.shape or agreement < 0.995:
        sys.exit(f"{part} {size}: ours and the naive form agree in only {agreement:.2%} of their result")
    ratios = {"time": found["naive"]["seconds"] / found["ours"]["seconds"]}
    ratios["memory"] = found["naive"]["bytes"] / found["ours"]["bytes"]
    return {"part": part, **{k: size[k] for k in "BKS"}, **found, **ratios, "agreement": agreement}


def markdown(rows: list[dict]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        f"{THREADS} threads, torch {torch.__version__}; seconds, MiB at the peak, ratios naive / ours.", "",
        "| part | batch | K | S | s ours | s naive | faster | MiB ours | MiB naive | leaner | same result |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for r in rows:
        seconds, mib = ([r[f][k] for f in ("ours", "naive")] for k in ("seconds", "bytes"))
        lines.append(
            f"| {r['part']} | {r['B']} | {r['K']} | {r['S'] if 'S' in PARTS[r['part']] else ''} "
            f"| {seconds[0]:.3f} | {seconds[1]:.3f} | {r['time']:.1f}× "
            f"| {mib[0] / 2**20:.0f} | {mib[1] / 2**20:.0f} | {r['memory']:.1f}× | {r['agreement']:.2%} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--growth", action="store_true", help="also vary K, S and the batch, one at a time")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, help="folder for method.json and method.md")
    given = parser.parse_args()
    torch.set_num_threads(1)  # a process with running threads cannot be forked safely
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for part in given.parts:
            sizes = [BASE]
            if given.growth:
                sizes += [{**BASE, key: v} for key in PARTS[part] for v in GROWTH[key] if v != BASE[key]]
            for size in sizes:
                rows.append(compare(part, size, Path(folder)))
                print(markdown(rows[-1:]).splitlines()[-1], flush=True)
    for row in rows:
        if {k: row[k] for k in "BKS"} == {k: BASE[k] for k in "BKS"}:
            for kind, least in TARGETS[row["part"]].items():
                verdict = "met" if row[kind] >= least else "MISSED"
                print(f"{row['part']}: {kind} {row[kind]:.1f}× of ≥ {least}×: {verdict}")
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "method.json").write_text(json.dumps(rows, indent=2) + "\n")
        (given.out / "method.md").write_text(markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
