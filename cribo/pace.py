"""Estimates how fast a training is on this machine, from a few small steps of its networks and from loading some photos."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import torch

from cribo.data.prepared.readers import PreparedSet
from cribo.measure import measure
from cribo.params import Compute, merged
from cribo.training.course import view_pairs

# Limits on a CPU: seconds for the steps of all models; images per step; images in the bank, as its search grows with it.
CPU_SECONDS, CPU_IMAGES, CPU_BANK = 90.0, 64, 1000


@dataclass(frozen=True)
class Pace:
    """Cost of one model's steps here: seconds per image, bytes of its training if measured, and how both were obtained."""

    each: float
    memory: float | None = None
    how: str = ""


def shares(settings: dict, compute: Compute, processes: int) -> tuple[int, int]:
    """Images per process and step, and how many of them go through the networks at once."""
    share = settings["optimisation"]["batch_size"] // processes
    return share, min(share, compute.micro_batch or share)


def try_steps(settings: dict, compute: Compute, device: torch.device, at_once: int, images: int | None) -> Pace:
    """The pace, from a few steps of at most `images` images."""
    tried = min(at_once, images or at_once)
    half, full = (measure(settings, compute, device, n, steps=2) for n in (max(1, tried // 2), tried))
    per_image = max(0, full.held - half.held) / max(1, full.images - half.images)
    return Pace(full.seconds / tried, full.held + per_image * (at_once - tried))


def try_steps_on_cpu(settings: dict, compute: Compute, at_once: int, images: int | None, seconds: float) -> Pace:
    """The pace, from steps of one image and of `images` (or as many as `seconds` allow); more images cost in proportion."""
    whole = settings.get("memory_bank", {}).get("images", 0)
    bank = min(whole, max(CPU_BANK, images or 0))
    small = merged(settings, {"memory_bank": {"images": bank}}) if whole else settings
    plain = compute.model_copy(update={"compile": False})

    def took(n: int, steps: int) -> float:
        step = measure(small, plain, torch.device("cpu"), n, steps, phases=whole > bank)
        return step.seconds + (step.phases["nn_retrieval"] * (whole / bank - 1) if whole > bank else 0.0)

    start = time.perf_counter()
    alone = step = took(1, 1)
    spent = time.perf_counter() - start  # for three steps, as two warm up
    affordable = images or max(1, min(CPU_IMAGES, int(0.75 * (seconds / spent - 1)) - 1))
    if (tried := min(at_once, affordable)) > 1:
        alone, step = took(1, 2), took(tried, 2)
    more = (step - alone) / max(1, tried - 1)
    each = (step + (at_once - tried) * (more if 0 < more < step / tried else step / tried)) / at_once
    scaled = [f"steps of 1 and {tried} images" if tried > 1 else "steps of 1 image"] if tried < at_once else []
    scaled += [f"a bank of {bank:,} images for {whole:,}"] if whole > bank else []
    how = ["scaled from " + " and ".join(scaled)] if scaled else []
    how += ["not compiled"] if compute.compile else []
    return Pace(each, how=", ".join(how))


def cost_key(settings: dict) -> str:
    """A key that is the same for models whose steps cost the same, whatever their seed, photos, epochs and rates."""
    free = {"clustering": ("lambda_pos", "sharpness"), "matching": ("first_epoch",)}
    read = {key: value for key, value in settings.items() if key not in ("seed", "dataset", "targets", "optimisation")}
    for group, keys in free.items():
        if group in read:
            read[group] = {key: value for key, value in read[group].items() if key not in keys}
    how = settings["optimisation"]
    return json.dumps([read, how["batch_size"], how["clip_norm"] > 0])


def loading_rate(settings: dict, data: PreparedSet, tries: int = 12) -> float:
    """Images per second that one worker loads and augments."""
    records = data.splits["train"]
    pairs = view_pairs(settings, records)
    places = [i * len(records) // tries for i in range(tries)]
    _ = pairs[0, places[0]]
    start = time.perf_counter()
    for place in places:
        _ = pairs[0, place]
    return tries / (time.perf_counter() - start)
