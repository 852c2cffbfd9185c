"""python -m stages.export MODEL: teacher's backbone in results/pretrain/MODEL/ → results/encoders/MODEL/, a timm folder."""

from __future__ import annotations

from pathlib import Path

from cribo import plan
from cribo.command import run
from cribo.model.export import teacher_backbone, write_encoder


def main(name: str) -> None:
    vit, spec, size = teacher_backbone(plan.made("pretrain", name) / "checkpoint.safetensors")
    write_encoder(vit, spec, size, Path("results/encoders") / name)


if __name__ == "__main__":
    run(main, "python -m stages.export MODEL", 1)
