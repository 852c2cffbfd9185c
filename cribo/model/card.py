"""A model's card and the files around it: a folder that is ready for the Hugging Face hub or torch.hub."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cribo.data.prepared.readers import PreparedSet
from cribo.model.architectures import BackboneSpec
from cribo.model.checkpoint_file import read_checkpoint, settings_hash
from cribo.model.export import FILES, teacher_backbone, verify_or_remove

HUBCONF = '''"""torch.hub.load(FOLDER, "encoder", source="local"): the encoder that lies beside this file."""

from pathlib import Path

import timm

dependencies = ["torch", "timm", "safetensors"]


def encoder(pretrained: bool = True, **more):
    """The network without classifier; `forward_features` gives CLS token and patch tokens after the final norm."""
    return timm.create_model(f"local-dir:{Path(__file__).parent}", pretrained=pretrained, **more)
'''

CARD = """---
library_name: timm
pipeline_tag: image-feature-extraction
tags: [timm, self-supervised, dense-features]
---

# {name}

`{backbone}`, which is {built}, pretrained without labels.

```python
timm.create_model("local-dir:FOLDER", pretrained=True)      # or hf-hub:OWNER/NAME, once it is there
torch.hub.load("FOLDER", "encoder", source="local")
```

Images are RGB in 0–1, normalised with the mean and deviation in `config.json`; sides are multiples of {patch} px.

## What was trained

- losses: {losses}
- photos: {data}, {images} of them; source: {source}; licence: {licence}
- {steps} steps of {batch} photos, {seen}, {epochs} epochs
- manifest of the photos: sha256 {digest}
- settings: sha256 {settings}
- largest difference between these features and those trained: {worst}

## Results

{results}

Each protocol is described in docs/protocols.md of the pipeline.

## Limits

It was trained without labels, on the photos named above and nothing else: what they leave out or overrepresent, so does \
it. Its features have not been examined for fairness, and are no basis for decisions about people. Scores of protocols \
that are not listed were not measured.

## Licence

The code that trained it is Apache-2.0, and the licence of the weights depends on the photos, so this card declares none: \
add `license:` to its header once it is known.

Card written at commit {commit}.
"""


def write_release(name: str, encoder: Path, checkpoint: Path, data: PreparedSet, table: Path, folder: Path) -> None:
    """Write weights, config.json, hubconf.py and README.md of a model trained here. `table`: results/tables/scores.csv.

    Raises ValueError if the features of the written model differ from those of the checkpoint's teacher.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        shutil.copyfile(encoder / file, folder / file)
    net, _, side = teacher_backbone(checkpoint)
    told = read_checkpoint(checkpoint)[1]
    worst = verify_or_remove(net, folder, side)
    (folder / "hubconf.py").write_text(HUBCONF)
    (folder / "README.md").write_text(card(name, told, data, results(name, table), worst, commit()))


def results(name: str, table: Path) -> list[tuple[str, str, float, str]]:
    """Every result of a model: protocol, data set, value in percent and its meaning; sorted by protocol and data set."""
    with table.open(encoding="utf-8", newline="") as lines:
        own = [line for line in csv.DictReader(lines) if line["model"] == name]
    return sorted((line["protocol"], line["dataset"], float(line["value"]), line["what"]) for line in own)


def commit() -> str:
    """The commit of the working tree, with a note if files differ from it."""
    try:
        asked = [["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"]]
        head, changes = (subprocess.run(a, capture_output=True, text=True, check=True).stdout.strip() for a in asked)
    except (OSError, subprocess.CalledProcessError):
        return "none: not in a git repository"
    return head + (", and files that differ from it" if changes else "")


def built(spec: BackboneSpec) -> str:
    """The timm architecture and arguments of a backbone, in words."""
    changes = ", ".join(f"{key}={value}" for key, value in spec.args.items())
    return f"timm's `{spec.architecture}`" + (f" with `{changes}`" if changes else "")


def seen(settings: dict) -> str:
    """The views of a photo that a training step uses, in words."""
    views = settings["views"]
    if "pixels" in settings["losses"]:
        return f"one view of {views['size']} px each"
    local = views.get("local")
    return f"two views of {views['size']} px" + (f" and {local['count']} of {local['size']} px" if local else "") + " each"


def card(
    name: str, told: dict, data: PreparedSet, scores: Sequence[tuple[str, str, float, str]], worst: float, at: str
) -> str:
    """The model card in Markdown, with the header that the hub reads."""
    settings, spec = told["settings"], BackboneSpec(**told["settings"]["backbone"])
    optimisation = settings["optimisation"]
    rows = [f"| {protocol} | {dataset} | {value:.2f} | {what} |" for protocol, dataset, value, what in scores]
    table = ["| protocol | data set | % | what |", "|:--|:--|--:|:--|", *rows] if rows else ["None has been measured yet."]
    return CARD.format(
        name=name,
        backbone=spec.name,
        built=built(spec),
        patch=spec.patch_size,
        losses=", ".join(settings["losses"]),
        data=data.name,
        images=f"{len(data.splits['train']):,}",
        source=data.source or "not stated",
        licence=data.licence or "not stated",
        steps=f"{told['steps']:,}",
        batch=optimisation["batch_size"],
        seen=seen(settings),
        epochs=optimisation["epochs"],
        digest=told["digest"],
        settings=settings_hash(settings),
        worst=f"{worst:g}",
        results="\n".join(table),
        commit=at,
    )
