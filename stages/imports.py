"""python -m stages.imports NAME: weights that are not trained here → results/encoders/NAME/, like an export."""

from __future__ import annotations

from pathlib import Path

from cribo import plan
from cribo.command import run
from cribo.model.backbone import seeded_backbone
from cribo.model.export import write_encoder


def main(name: str) -> None:
    settings = plan.read(f"import/{name}")
    vit = seeded_backbone(settings["backbone"], settings["image_size"], settings["seed"]).eval()
    write_encoder(vit, settings["backbone"], settings["image_size"], Path("results/encoders") / name)


if __name__ == "__main__":
    run(main, "python -m stages.imports NAME", 1)
