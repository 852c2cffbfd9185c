"""What a training step costs: the paper's Tables 9 and 10 for any recipe, and what each switch of `compute` gains.

    python benchmarks/step.py                                         # the experiment of params.yaml, its model cribo
    python benchmarks/step.py --set backbone=vit_base_16 views.size=224 clustering.K=12 --images 128 --precision bf16
    python benchmarks/step.py --recipe voc-mini --images 16 --only table9 table10
    python benchmarks/step.py --recipe voc-mini --images 16 --only table9 overhead --photos data/photos
    python benchmarks/step.py --recipe paper-vitb16-in1k --set clustering.K=12 --images 128 --out results/benchmarks/step

The last command is the paper's own case: ViT-B/16 at 224 px, 128 images per process. Every row is measured in this one run,
with a full memory bank and the cross-image loss on. The switches' ratios are to the row called baseline. By default images
are noise and every entry of the bank counts, the most expensive case. With `--photos FOLDER` the images are the folder's
JPEGs, and steps fill the bank with the objects that both views show, as in a training. `--images` is one process's share of
a batch. `overhead` is Table 10 without the other models. `--only` without a part measures the step alone. Compiling takes
longer than measuring: `--ahead N` compiles N rows side by side, if they fit on the GPU together, and measures one at a time.
Writes PREFIX.json and PREFIX.md (`--out PREFIX`) and prints the Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch
import yaml
from PIL import Image
from pydantic import ValidationError

from cribo import params, plan, recipe
from cribo.command import explained
from cribo.data.prepared.readers import Record
from cribo.launch import environment
from cribo.measure import PHASES, Measured, measure
from cribo.model.architectures import BACKBONES
from cribo.params import Compute, Params
from cribo.report.paper.values import cells
from cribo.report.tables.runtime import IMAGENET
from cribo.training.engine import checkpoint
from cribo.training.engine.distributed import pick_device
from cribo.training.engine.log import clock
from cribo.training.flops import flops_per_image, peak_flops
from cribo.training.state import TrainingState, initial_state

# The other models in Table 10: MAE with its authors' decoder, DINO with eight local crops (ours: the paper gives no number).
MAE = {"losses": ["pixels"], "mae": {"decoder": {"width": 512, "depth": 8, "heads": 16}}}
LOCAL_CROPS, LOCAL_SHARE = 8, 96 / 224  # DINO's local crops, and their side as a share of a view's
PRINTED_K = (12, 32)
SETTLE_SECONDS = 3.0  # so that every row runs at the clock rates that a GPU sustains


def foreach_adamw(state: TrainingState) -> None:
    """Run AdamW as several kernels instead of a fused one."""
    for group in state.optimiser.param_groups:
        group["fused"], group["foreach"] = False, True


def plain_attention(state: TrainingState) -> None:
    """Write attention out instead of using scaled_dot_product_attention."""
    for network in (state.student, state.teacher):
        for block in network.backbone.blocks:
            block.attn.fused_attn = False


def switches(compute: Compute, images: int, cuda: bool) -> dict[str, tuple[Compute, dict]]:
    """Return, for each row's name, how its steps are done: `compute`, and more arguments of `measure`."""

    def but(**changes: object) -> Compute:
        return compute.model_copy(update=changes)

    rows = {
        "baseline": (compute, {}),
        "precision: fp32": (but(precision="fp32"), {}),
        "precision: bf16": (but(precision="bf16"), {}),
        "recompute": (but(recompute=True), {}),
        "micro_batch: half": (but(micro_batch=max(1, images // 2)), {}),
        "not compiled" if compute.compile else "compile": (but(compile=not compute.compile), {}),
        "AdamW not fused": (compute, {"alter": foreach_adamw}),
        "attention written out": (compute, {"alter": plain_attention}),
    }
    if cuda:
        rows |= {"no tf32" if compute.tf32 else "tf32": (but(tf32=not compute.tf32), {})}
    same = f"precision: {compute.precision}"
    return {name: row for name, row in rows.items() if name != same}


def saving(settings: dict, compute: Compute, device: torch.device) -> dict[str, float]:
    """Return the seconds that saving a state stops the training, waiting for the disk and saving in the background."""
    state, out = initial_state(settings, device), {}
    saved = state.to_dict()
    for background in (False, True):
        with tempfile.TemporaryDirectory(dir=".") as folder:
            saver = checkpoint.Saver(Path(folder), 2, background)
            start = time.perf_counter()
            saver.save(1, saved)
            out["in the background" if background else "waiting for the disk"] = time.perf_counter() - start
            saver.wait()
            saver.close()
    return out


def table9(row: Measured, compiled: bool) -> str:
    """Return Table 9: component, ms, %, and the paper's values (ViT-B/16, K = 12, 128 images, one die of an MI250X)."""
    paper = {(cell.factor["component"], cell.metric): cell.value for cell in cells() if cell.table == 9}
    lines = []
    for name in (*PHASES, "other", "total"):
        seconds = row.seconds if name == "total" else row.phases[name]
        theirs = [paper.get((name, metric), "") for metric in ("ms", "percent")]
        lines.append([name.replace("_", " "), f"{1e3 * seconds:.1f}", f"{100 * seconds / row.seconds:.1f}", *theirs])
    component = "component (Table 9" + ("; networks not compiled)" if compiled else ")")
    return markdown([component, "ms", "%", "paper: ms", "paper: %"], lines)


def rivals(everything: Params, name: str) -> dict[str, dict]:
    """Return settings of Table 10's other models, by the paper's names; backbone, views and head are the measured one's."""
    own = everything.model(name)
    patch = BACKBONES[own.backbone].patch_size
    local = {"count": LOCAL_CROPS, "size": patch * max(1, round(own.views.size * LOCAL_SHARE / patch))}
    overlays = {"MAE": MAE, "DINO": {"losses": ["global"], "views": {"local": local}}}
    overlays |= {f"CrIBo (K {K})": {"clustering": {"K": K}} for K in PRINTED_K if K != own.clustering.K}
    found = {}
    for row, overlay in overlays.items():
        everything.models.trained[row] = params.merged(everything.models.trained[name], overlay)
        found[row] = plan.pretrain_settings(everything.model(row))
    return found


def table10(rows: list[tuple[str, Measured, dict]], compute: Compute, device: torch.device) -> str:
    """Return Table 10: model, img/s, time per ImageNet-1k epoch on one such device, memory, MFU, time against global only.

    `rows`: name, measurement and settings of each model; the first row is the model with the global loss alone.
    """
    alone = rows[0][1]
    peak, lines = peak_flops(device, compute.precision, compute.tf32), []
    for name, row, settings in rows:
        rate = row.images / row.seconds
        mfu = f"{100 * rate * flops_per_image(settings) / peak:.1f}" if peak else "–"
        epoch, memory = clock(IMAGENET / rate), f"{row.memory / 1e9:.2f}"
        lines.append([name, f"{rate:.1f}", epoch, memory, mfu, f"{100 * (row.seconds / alone.seconds - 1):+.1f}"])
    head = ["(Table 10)", "img/s", "ImageNet epoch on one device", "GB", "MFU %", "time against global only, %"]
    return markdown(head, lines)


def switch_table(took: dict[str, Measured]) -> str:
    """Return, for each switch, milliseconds, time as a multiple of the baseline's, and memory in GB, as a table."""
    base = took["baseline"].seconds
    lines = [
        [name, f"{1e3 * row.seconds:.1f}", f"{row.seconds / base:.2f}", f"{row.memory / 1e9:.2f}"]
        for name, row in took.items()
    ]
    return markdown(["switch", "ms a step", "× baseline", "GB"], lines)


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in [head, ["--"] * len(head), *rows])


def chosen(given: argparse.Namespace) -> tuple[Params, Compute]:
    """Return all parameters, with `--set` applied to the model's settings, and `compute`, with `--precision` applied."""
    path = Path("params.yaml")
    everything = params.parse(recipe.text_of(given.recipe), path) if given.recipe else params.load(path)
    overlay: dict = {}
    for change in given.set:
        key, _, value = change.partition("=")
        *groups, last = key.split(".")
        place = overlay
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = yaml.safe_load(value)
    trained = everything.models.trained
    if given.model not in trained:
        sys.exit(f"no model {given.model}: {', '.join(trained)}")
    trained[given.model] = params.merged(trained[given.model], overlay)
    try:
        model = everything.model(given.model)
    except ValidationError as error:
        wrong = error.errors()[0]
        sys.exit(f"--set: {'.'.join(map(str, wrong['loc']))}: {wrong['msg']}")
    if not params.needs_bank(model):
        sys.exit(f"{given.model} has no cross_image in losses: the step that is measured is CrIBo's")
    return everything, everything.compute.model_copy(update={"precision": given.precision or everything.compute.precision})


def photos_of(folder: Path, images: int) -> list[Record]:
    """Return records of a folder's JPEGs; end the program if they do not fill a batch."""
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in (".jpg", ".jpeg"))
    if len(files) < images:
        sys.exit(f"{folder} has {len(files)} JPEGs, a batch has {images}: lower --images or name another folder")
    records = []
    for file in files:
        with Image.open(file) as photo:
            records.append(Record(file.stem, file, None, *photo.size))
    return records


def measured_rows(arguments: list[str], rows: list[str], ahead: int) -> Iterator[tuple[str, Measured]]:
    """Measure each row in a process of its own, so that memory and compiled code are the row's own.

    `ahead` processes at a time compile side by side. Then each measures while the others wait.
    """
    for together in batched(rows, ahead):
        started = [OwnProcess(arguments, row) for row in together]
        try:
            for process in started:
                process.until("compiled")
            for process in started:
                process.go_on()
                yield process.row, Measured(**json.loads(process.until("measured")))
        finally:
            for process in started:
                process.end()


def batched(rows: list[str], count: int) -> Iterator[list[str]]:
    """`count` rows at a time."""
    yield from (rows[i : i + count] for i in range(0, len(rows), count))


class OwnProcess:
    """A process that measures a row; it says when it has compiled, waits to be told to go on, and says what it measured."""

    def __init__(self, arguments: list[str], row: str):
        self.row = row
        command = [sys.executable, __file__, *arguments, "--row", row]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(command, text=True, env=environment(os.environ), **pipes)

    def until(self, word: str) -> str:
        """Read what the process says until this word; return the rest of that line. If it fails, end the program."""
        line = "the process was killed"
        for line in self.process.stdout:
            if line.startswith(word):
                return line.removeprefix(word)
        sys.exit(f"{self.row}: {line.strip()}")

    def go_on(self) -> None:
        """Tell the process that it is its turn to measure."""
        with suppress(BrokenPipeError):  # it has ended, and `until` says why
            print("go on", file=self.process.stdin, flush=True)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def wait_for_turn() -> None:
    """What a process does once it has compiled: release the memory of its first steps, and wait."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    print("compiled", flush=True)
    sys.stdin.readline()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", help="instead of params.yaml")
    parser.add_argument("--model", default="cribo")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="keys of `pretrain`")
    parser.add_argument("--images", type=int, help="a process's share of the batch (the whole batch)")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="measure on its JPEGs instead of noise")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--ahead", type=int, default=1, metavar="N", help="rows that compile side by side")
    parser.add_argument("--precision", choices=["fp32", "bf16"])
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parts = ["table9", "table10", "switches", "saving"]
    parser.add_argument("--only", nargs="*", default=parts, choices=[*parts, "overhead"], metavar="PART")
    parser.add_argument("--out", default="step", metavar="PREFIX")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    if given.ahead < 1:
        sys.exit(f"--ahead {given.ahead}: give the number of rows that compile side by side, from 1")
    everything, compute = chosen(given)
    settings = plan.pretrain_settings(everything.model(given.model))
    device = pick_device(given.device)
    images = given.images or settings["optimisation"]["batch_size"]
    alone = {key: value for key, value in settings.items() if key not in ("clustering", "memory_bank", "matching")}
    alone["losses"] = ["global"]
    others = {"global only": alone, **rivals(everything, given.model)}
    rows = switches(compute, images, device.type == "cuda")
    if given.row:
        of = others.get(given.row, settings)
        how, more = rows.get(given.row, rows["baseline"])
        records = photos_of(given.photos, images) if given.photos else ()
        phases = given.row == "phases"
        more |= {"settle": SETTLE_SECONDS, "ready": wait_for_turn}
        measured = measure(of, how, device, images, given.steps, phases, records=records, **more)
        print("measured", json.dumps(vars(measured)))
        return

    wanted = ["baseline"]
    if "table10" not in given.only:
        others = {"global only": alone} if "overhead" in given.only else {}
    wanted += ["phases"] * ("table9" in given.only) + list(others)
    wanted += [name for name in rows if name != "baseline"] * ("switches" in given.only)
    took = {}
    for name, row in measured_rows(sys.argv[1:], wanted, given.ahead):
        took[name] = row
        print(f"{name}: {row.seconds:.4f} s", file=sys.stderr, flush=True)

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    about = f"{settings['backbone']['name']} at {settings['views']['size']} px, {images} images, {compute.precision}, "
    about += f"{name}, torch {torch.__version__}, {platform.machine()}, {'photos' if given.photos else 'noise'}"
    base = took["baseline"]
    pace = f"{1e3 * base.seconds:.1f} ms, {base.images / base.seconds:.1f} img/s, {base.memory / 1e9:.2f} GB"
    parts = [f"# One training step\n\n{about}: {pace}"]
    result = {
        "about": about,
        "backbone": settings["backbone"]["name"],
        "size": settings["views"]["size"],
        "K": settings.get("clustering", {}).get("K"),
        "rows": {name: vars(row) for name, row in took.items()},
    }
    if "phases" in took:
        parts.append(table9(took["phases"], compute.compile))
    if valid := base.valid:
        parts.append(f"Objects that both views show: {valid:.1f} of {result['K']} an image")
    if "global only" in took:
        models = [(name, took[name], of) for name, of in others.items()]
        models.append((f"CrIBo, K = {settings['clustering']['K']}", base, settings))
        parts.append(table10(models, compute, device))
    if "switches" in given.only:
        parts.append(switch_table({name: row for name, row in took.items() if name in rows}))
    if "saving" in given.only:
        result["saving"] = saving(settings, compute, device)
        parts.append(markdown(["saving a state", "s"], [[k, f"{v:.3f}"] for k, v in result["saving"].items()]))
    text = "\n\n".join(parts) + "\n"
    Path(f"{given.out}.json").write_text(json.dumps(result, indent=2) + "\n")
    Path(f"{given.out}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    with explained():
        main()
