"""ImageNet-1k, or any images in one folder a class: train/CLASS/*, val/CLASS/*; classes are in alphabetical order.

ImageNet's val may also be flat, as its archive unpacks, with the development kit beside it for the labels.
"""

from __future__ import annotations

from pathlib import Path

from cribo.data.manifest import DataError, listed
from cribo.data.sets.listing import IMAGES, Entry, Listing, first_folder, names_in

LICENCE = "Non-commercial research and education only, under ImageNet's terms of access. Cite Russakovsky et al. 2015."
SOURCE = "ImageNet ILSVRC 2012, image-net.org"
PUBLISHED = {"train": 1281167, "val": 50000}
DEVKIT = "ILSVRC2012_devkit_t12/data"


def listing(name: str, settings: dict, root: Path) -> Listing:
    train = _by_class(root, "train")
    classes = sorted({entry.label for entry in train})
    folders = any(p.is_dir() and not p.name.startswith(".") for p in (root / "val").glob("*"))
    val = _by_class(root, "val") if folders else _by_devkit(root)
    if unknown := sorted({entry.label for entry in val} - set(classes)):
        raise DataError(f"{root / 'val'} has classes that train lacks: {listed(unknown)}")
    return Listing(root, [*train, *val], classes, LICENCE, SOURCE, PUBLISHED)


def _by_class(root: Path, split: str) -> list[Entry]:
    folder = root / first_folder(root, split)
    classes = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not classes:
        raise DataError(f"{folder} has no folders of classes")
    return [
        Entry(split, f"{label}/{Path(file).stem}", f"{split}/{label}/{file}", label=label)
        for label in classes
        for file in names_in(folder / label, IMAGES)
    ]


def _by_devkit(root: Path) -> list[Entry]:
    """A flat val, labelled by the n-th line of the ground truth for the n-th file."""
    from scipy.io import loadmat

    files = names_in(root / "val", IMAGES)
    given = root.parents[2] if root.parts[-3:] == ("ILSVRC", "Data", "CLS-LOC") else root  # Kaggle's layout
    kit = next((place / DEVKIT for place in (root, given) if (place / DEVKIT).is_dir()), given / DEVKIT)
    truth, meta = kit / "ILSVRC2012_validation_ground_truth.txt", kit / "meta.mat"
    for path in (truth, meta):
        if not path.is_file():
            raise DataError(
                f"{path} is missing: {root / 'val'} has no folders of classes, so its labels must come from "
                "ILSVRC2012_devkit_t12.tar.gz"
            )
    wnids = {int(row["ILSVRC2012_ID"].item()): str(row["WNID"].item()) for row in loadmat(meta)["synsets"][:, 0]}
    numbers = [int(line) for line in truth.read_text().split()]
    if len(numbers) != len(files):
        raise DataError(f"{root / 'val'} has {len(files)} images and {truth} {len(numbers)} labels")
    return [
        Entry("val", Path(file).stem, f"val/{file}", label=wnids[number])
        for file, number in zip(files, numbers, strict=True)
    ]
