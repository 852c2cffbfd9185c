"""ImageNet-1k, or any images in one folder per class: train/CLASS/*, val/CLASS/*; classes are in alphabetical order.

ImageNet's val may also be flat, as its archive unpacks; the development kit beside it then gives the labels.
"""

from __future__ import annotations

from pathlib import Path

from cribo.data.preparation.download import Remote
from cribo.data.preparation.sets.archive import GIB, Archive
from cribo.data.preparation.sets.listing import IMAGES, Entry, Listing, first_folder, names_in
from cribo.data.prepared.images import load_mat
from cribo.data.prepared.manifest import DataError, Place, listed

LICENCE = "Non-commercial research and education only, under ImageNet's terms of access. Cite Russakovsky et al. 2015."
SOURCE = "ImageNet ILSVRC 2012, image-net.org"
PUBLISHED = {"train": 1281167, "val": 50000}
PLACE = Place((".", "ILSVRC/Data/CLS-LOC"), ("train",))
DEVKIT = "ILSVRC2012_devkit_t12/data"
AGAIN = "unpack ILSVRC2012_devkit_t12.tar.gz again"


def _archive(name: str, md5: str, makes: tuple[str, ...], into: str, files: int, nested: bool = False) -> Archive:
    remote = Remote(name, "https://image-net.org/download-images", digest=f"md5:{md5}")
    return Archive(remote, makes, into, free=False, nested=nested, files=files, unpacked=400 * GIB)


TRAIN = _archive(
    "ILSVRC2012_img_train.tar",
    "1d675b47d978889d74fa0da5fadfb00e",
    ("train", "ILSVRC/Data/CLS-LOC/train"),
    "train",
    1_400_000,
    nested=True,
)
VAL = _archive(
    "ILSVRC2012_img_val.tar", "29b22e2961454d5413ddabcf34fc5622", ("val", "ILSVRC/Data/CLS-LOC/val"), "val", 60_000
)
LABELS = _archive("ILSVRC2012_devkit_t12.tar.gz", "fa75699e90414af021442c21a62c3abf", ("ILSVRC2012_devkit_t12",), ".", 1000)


def archives(settings: dict, folder: Path) -> tuple[Archive, ...]:
    """Both splits, and the development kit if val is flat or not there yet."""
    by_class = any(_has_classes(folder / place / "val") for place in PLACE.inside)
    return (TRAIN, VAL) if by_class else (TRAIN, VAL, LABELS)


def _has_classes(split: Path) -> bool:
    return any(path.is_dir() and not path.name.startswith(".") for path in split.glob("*"))


def listing(name: str, settings: dict, root: Path) -> Listing:
    train = _by_class(root, "train")
    classes = sorted({entry.label for entry in train})
    val = _by_class(root, "val") if _has_classes(root / "val") else _by_devkit(root)
    if unknown := sorted({entry.label for entry in val} - set(classes)):
        raise DataError(f"{root / 'val'} has classes that train lacks: {listed(unknown)}")
    return Listing(root, [*train, *val], classes, LICENCE, SOURCE, PUBLISHED)


def _by_class(root: Path, split: str) -> list[Entry]:
    folder = root / first_folder(root, split)
    classes = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not classes:
        raise DataError(f"{folder} has no folders of classes: put the photos of each class into {split}/CLASS/")
    return [
        Entry(split, f"{label}/{Path(file).stem}", f"{split}/{label}/{file}", label=label)
        for label in classes
        for file in names_in(folder / label, IMAGES)
    ]


def _by_devkit(root: Path) -> list[Entry]:
    """The entries of a flat val: the n-th line of the ground truth labels the n-th file."""
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
    labels = _labels(truth, _wnids(meta), meta)
    if len(labels) != len(files):
        raise DataError(f"{root / 'val'} has {len(files)} images and {truth} {len(labels)} labels")
    return [Entry("val", Path(file).stem, f"val/{file}", label=label) for file, label in zip(files, labels, strict=True)]


def _wnids(meta: Path) -> dict[int, str]:
    """Folder name (WordNet id) of each class, by its number in the development kit. Raises DataError if damaged."""
    try:
        tree = load_mat(meta.read_bytes(), meta)
    except DataError as error:
        raise DataError(f"{error}: {AGAIN}") from None
    try:
        return {int(row["ILSVRC2012_ID"].item()): str(row["WNID"].item()) for row in tree["synsets"][:, 0]}
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, OverflowError):
        raise DataError(f"{meta} lacks the classes of ImageNet 2012: {AGAIN}") from None


def _labels(truth: Path, wnids: dict[int, str], meta: Path) -> list[str]:
    """The class of each line. Raises DataError that names the first line that is not the number of a class."""
    by_line = {str(number): wnid for number, wnid in wnids.items()}
    lines = [line.strip() for line in truth.read_text(errors="backslashreplace").rstrip().splitlines()]
    for number, line in enumerate(lines, 1):
        if line not in by_line:
            raise DataError(f"{truth}:{number}: {line!r} is not a number of a class in {meta}: {AGAIN}")
    return [by_line[line] for line in lines]
