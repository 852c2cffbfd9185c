"""Everything a training run needs to go on as if it had never stopped.

The order of images, augmentation, cluster seeds and drop path are functions of (seed, step), so no random state is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from cribo.method import sharded_bank
from cribo.method.memory_bank import MemoryBank
from cribo.method.sharded_bank import ShardedBank
from cribo.method.step import Centres
from cribo.model.networks.masked_autoencoder import MaskedAutoencoder
from cribo.model.networks.network import Network, build_network
from cribo.training.engine.distributed import World
from cribo.training.optimiser import build_optimiser


@dataclass
class TrainingState:
    """Weights, optimiser, centres, memory bank, and the number of steps done."""

    student: Network | MaskedAutoencoder
    teacher: Network | MaskedAutoencoder  # for MAE, which has no teacher, the student itself
    optimiser: torch.optim.AdamW
    centres: Centres
    bank: MemoryBank | ShardedBank | None
    step: int = 0

    def to_dict(self) -> dict:
        """The state as tensors and numbers only, so that it loads without pickled code; the same for any process count.

        This is a collective when the bank is spread over processes; then only the main process receives the bank.
        """
        bank = self.bank
        if isinstance(bank, ShardedBank):
            bank = sharded_bank.whole(bank)
        elif bank is not None:
            bank = vars(bank)
        return {
            "student": self.student.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "centres": {"images": self.centres.images, "objects": self.centres.objects},
            "bank": bank,
            "step": self.step,
        }

    def restore(self, saved: dict) -> None:
        """Load a saved state in place, onto the devices of this one."""
        self.student.load_state_dict(saved["student"])
        self.teacher.load_state_dict(saved["teacher"])
        self.optimiser.load_state_dict(saved["optimiser"])
        for name in ("images", "objects"):
            getattr(self.centres, name).copy_(saved["centres"][name])
        if isinstance(self.bank, ShardedBank):
            sharded_bank.restore(self.bank, saved["bank"])
        elif self.bank is not None:
            for name, value in saved["bank"].items():
                if name == "pushed":
                    self.bank.pushed = value
                else:
                    getattr(self.bank, name).copy_(value)
        self.step = saved["step"]


def initial_state(settings: dict, device: torch.device, bf16: bool = False, shards: World | None = None) -> TrainingState:
    """The state before the first step: a function of the settings, the same on every process and device.

    With `shards`, the memory bank is spread over those processes.
    """
    torch.manual_seed(settings["seed"])
    student = build_network(settings, settings.get("drop_path", 0.0), bf16)
    if "mae" in settings:
        teacher = student  # MAE has none
    else:
        teacher = build_network(settings, 0.0, bf16)
        teacher.load_state_dict(student.state_dict())
        teacher.requires_grad_(False)
    teacher.to(device)
    student.to(device)
    count = settings.get("head", {}).get("prototypes", 0)
    centres = Centres(torch.zeros(count, device=device), torch.zeros(count, device=device))
    bank = None
    if "memory_bank" in settings:
        shape = settings["memory_bank"]["images"], settings["clustering"]["K"], student.backbone.num_features
        bank = ShardedBank.empty(*shape, shards, device) if shards else MemoryBank.empty(*shape, device)
    return TrainingState(student, teacher, build_optimiser(student, settings["optimisation"]["beta2"]), centres, bank)
