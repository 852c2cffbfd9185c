"""FLOPs against the published figures of ViT, counted by hand for the head."""

from dataclasses import asdict

import pytest
import torch

from cribo import params, plan
from cribo.model.architectures import BACKBONES
from cribo.params import merged
from cribo.training.flops import flops_per_image, peak_flops


def settings(losses, backbone, **changes):
    model = plan.pretrain_settings(params.load("recipes/demo.yaml").model("cribo"))
    return merged(model, {"losses": losses, "views": {"size": 224}, **changes}) | {"backbone": asdict(BACKBONES[backbone])}


def test_a_vit_b_16_takes_four_times_its_forward_pass_for_each_view():
    tiny_head = {"hidden": 1, "bottleneck": 1, "prototypes": 2}
    flops = flops_per_image(settings(["global"], backbone="vit_base_16", head=tiny_head))
    assert flops == pytest.approx(2 * 4 * 2 * 17.58e9, rel=0.02)  # 17.58 G multiply-adds, Touvron et al. 2021


def test_the_head_counts_every_vector_that_passes_it():
    head = {"hidden": 64, "bottleneck": 8, "prototypes": 100}
    vector = 2 * (192 * 64 + 64 * 64 + 64 * 8 + 8 * 100)
    base = flops_per_image(settings(["global"], backbone="vit_tiny_16", head=head))
    whole = flops_per_image(settings(["global", "cross_view", "cross_image"], backbone="vit_tiny_16", head=head))
    assert whole - base == pytest.approx(2 * 8 * (3 + 2) * vector)  # 8 objects: learnt from thrice, taught twice


def test_a_device_that_is_not_known_has_no_peak(monkeypatch):
    assert peak_flops(torch.device("cpu"), "bf16", False) == 0
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "NVIDIA H100 80GB HBM3")
    gpu = torch.device("cuda")
    assert [peak_flops(gpu, *p) for p in (("bf16", False), ("fp32", True), ("fp32", False))] == [989e12, 495e12, 67e12]
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "Abacus 1")
    assert peak_flops(gpu, "bf16", False) == 0
