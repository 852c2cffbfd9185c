"""Prepares data sets: decodes every file once, refuses unusable files by name, and puts the result in place as a whole.

A folder data/NAME exists only when it is complete: the work happens in a hidden folder beside it, which is renamed last.
For photos, a hidden file beside it notes which code verified them on this machine; its modification time is when that
began. The manifest cannot tell this, as it may come from another machine.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from cribo.data.preparation import layouts, scenes
from cribo.data.preparation.obtain import obtain
from cribo.data.preparation.parallel import cores, each
from cribo.data.preparation.sets import SETS
from cribo.data.preparation.sets.listing import Listing
from cribo.data.preparation.verify import Fault, check
from cribo.data.prepared import manifest
from cribo.data.prepared.labels import VOID
from cribo.data.prepared.location import locate, starts
from cribo.data.prepared.manifest import DataError, Manifest, Row, listed
from cribo.params import complete_data

PLACES = {"path", "download"}  # settings that say where photos come from, not what they are
CODE = Path(__file__).parent, Path(__file__).parents[1] / "prepared"
TICK = 0.02  # seconds; longer than the resolution of file systems' timestamps


def prepare(name: str, settings: dict, data: str | Path = "data", workers: int | None = None) -> Path:
    """Make `data`/`name` from its settings (an entry of `data` in params.yaml) and return the folder.

    `workers` is the number of processes, by default one per core that this process may use; it does not affect the result.
    Photos already verified on this machine, by this code and with these settings, are not verified again.

    Raises:
        DataError: photos are missing or cannot be used; `data`/`name` is then unchanged.
    """
    target = Path(data) / name
    unfinished = target.with_name(f".{name}.unfinished")
    workers, settings = workers or cores(), complete_data(settings)
    listing = None if settings["kind"] == "scenes" else list_files(name, settings)
    if listing is not None and unchanged(target, name, settings, listing):
        print(f"prepare {name}: {target} is what these settings and files give, nothing to do", file=sys.stderr)
        return target
    time.sleep(TICK)  # so that files touched before now are older than the folder
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a killed run
    unfinished.mkdir(parents=True)
    begun = unfinished.stat().st_mtime_ns
    try:
        if listing is None:
            made, rows = _generate(name, settings, unfinished, workers)
        else:
            made, rows = _verify(name, settings, listing, workers)
        manifest.write(unfinished, made, rows)
        _put_in_place(unfinished, target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    if listing is not None:
        _note(target).write_text(_witness(target))
        os.utime(_note(target), ns=(begun, begun))  # files that change after `begun` may have been read before
    return target


def list_files(name: str, settings: dict) -> Listing:
    """List the files of a data set, fetching and unpacking its archives if needed; no image is opened.

    Raises:
        DataError: the set is missing (the message says what to put where), or the index cannot hold the name of a file.
    """
    kind = SETS[settings["kind"]]
    folders, _ = starts(name, settings["path"])
    missing = obtain(name, settings, next((folder for folder in folders if folder.is_dir()), folders[0]))
    try:
        listing = kind.listing(name, settings, locate(name, kind.PLACE, settings["path"]))
    except DataError as error:
        raise DataError(f"{error}{missing}") from None
    files = (file for entry in listing.entries for file in (entry.image, entry.mask))
    if odd := [shown for file in files if (shown := _printed(file)) != file]:
        where = f"{len(odd)} names of files of {name} in {listing.root}"
        raise DataError(f"{where} are not UTF-8 or have a carriage return, rename them: {listed(odd)}")
    return listing


def _printed(file: str) -> str:
    """A file name with what the index cannot hold escaped: csv's reader takes a carriage return for the end of a line."""
    return file.encode(errors="backslashreplace").decode().replace("\r", "\\r")


def unchanged(target: Path, name: str, settings: dict, listing: Listing) -> bool:
    """Whether preparing again would give `target`: same settings and code, and no listed file touched since.

    A set from which broken files were left out is always verified again, since they may have been repaired.
    """
    try:
        found, lines = manifest.read(target)
        rows = list(lines)
        since = _note(target).stat().st_mtime_ns
        if _note(target).read_text() != _witness(target):
            return False
    except (DataError, OSError):
        return False
    if (found.version, found.name, found.settings) != (manifest.tool_version(), name, _recorded(settings)) or found.excluded:
        return False
    if [(e.split, e.id, e.image, e.mask, e.label) for e in listing.entries] != [
        (r.split, r.id, r.image, r.mask, r.label) for r in rows
    ]:
        return False
    if found.warnings != _all_warnings(listing, rows, found.counts):
        return False
    files = [(file, size) for row in rows for file, size in ((row.image, row.bytes), (row.mask, row.mask_bytes)) if file]
    files += [(about["file"], about["bytes"]) for about in found.annotations.values()]
    return all(_untouched(listing.root / file, size, since) for file, size in files)


def _note(target: Path) -> Path:
    """The file that notes what verified the photos of `target`; outside `target`, which DVC copies to other machines."""
    return target.with_name(f".{target.name}.verified")


def _witness(target: Path) -> str:
    """Content of the note of a verified set: the sha256 of its manifest and of the code that made it."""
    code = hashlib.sha256()
    for file in sorted(file for folder in CODE for file in folder.rglob("*.py")):
        code.update(file.read_bytes())
    return f"{manifest.sha256((target / manifest.MANIFEST).read_bytes())} {code.hexdigest()}\n"


def _untouched(path: Path, size: int, since: int) -> bool:
    """Whether a file has this size, and its mtime and ctime are both before `since` (ns since 1970)."""
    try:
        stat = path.stat()
    except OSError:
        return False
    return stat.st_size == size and max(stat.st_mtime_ns, stat.st_ctime_ns) < since


def _put_in_place(unfinished: Path, target: Path) -> None:
    """Rename the finished folder to its final name; an earlier one is removed only when the new one is ready."""
    manifest.sync_folder(unfinished)
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.is_symlink():
        target.unlink()  # a folder cannot be renamed over a link, and rmtree removes no link
    elif target.exists():
        target.rename(old)
    unfinished.rename(target)
    manifest.sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


# ------------------------------------------------------------------------------------------------------ the manifest's parts
def _recorded(settings: dict) -> dict:
    return {key: value for key, value in settings.items() if key not in PLACES}


def _counts(rows: Sequence[Row], present: Mapping[str, Counter], classes: Sequence[str]) -> dict[str, dict]:
    """Images per split, and in how many of them each class occurs; no classes for a split whose images have none."""
    return {
        split: {
            "images": sum(row.split == split for row in rows),
            "images_with": {name: present[split][name] for name in classes} if present[split] else {},
        }
        for split in present
    }


def _annotations(root: Path, files: Mapping[str, str]) -> dict[str, dict]:
    raw = {split: (root / file).read_bytes() for split, file in files.items()}
    return {
        split: {"file": file, "bytes": len(raw[split]), "sha256": manifest.sha256(raw[split])}
        for split, file in files.items()
    }


def _warnings(rows: Sequence[Row], counts: Mapping[str, dict]) -> list[str]:
    """What the user should know about a set that can be used nevertheless."""
    said = []
    for split, count in counts.items():
        shown = count["images_with"]
        if absent := [name for name, images in shown.items() if not images]:
            said.append(f"no image of {split} shows {listed(absent)}")
    train = {row.sha256_image for row in rows if row.split == "train"}
    if leaked := [row.id for row in rows if row.split == "val" and row.sha256_image in train]:
        said.append(f"{len(leaked)} images of val are in train too: {listed(leaked)}")
    return said


def _all_warnings(
    listing: Listing, rows: Sequence[Row], counts: Mapping[str, dict], excluded: Collection[str] = ()
) -> list[str]:
    left_out = [f"{len(excluded)} images are left out because they cannot be used: {listed(excluded)}"] if excluded else []
    return [*_other_counts(counts, listing.published), *left_out, *listing.notes, *_warnings(rows, counts)]


# ------------------------------------------------------------------------------------------------------------- two ways
def _generate(name: str, settings: dict, folder: Path, workers: int) -> tuple[Manifest, list[Row]]:
    """Generate scenes: write photos, masks, annotations and crops into `folder`."""
    if settings["objects"][1] > 255:
        raise DataError(f"data.{name}.objects: {settings['objects'][1]} objects per image are too many: 255 is the limit")
    layouts.make_folders(folder)
    rows, present = [], {}
    jobs = [(split, index) for split in layouts.SPLITS for index in range(settings[split])]
    done = list(each(partial(_write_scene, folder, settings), jobs, workers, name))
    for split in layouts.SPLITS:
        ours = [scene for scene in done if scene.row.split == split]
        layouts.write_lists(folder, split, [scene.row for scene in ours], [scene.objects for scene in ours])
        rows += [scene.row for scene in ours]
        present[split] = Counter(scenes.CLASSES[k] for scene in ours for k in scene.values if k != VOID)
    counts = _counts(rows, present, scenes.CLASSES)
    warnings = _warnings(rows, counts)
    rows += [crop for scene in done for crop in scene.crops]
    annotations = _annotations(folder, {split: layouts.instances(split) for split in layouts.SPLITS})
    licence = "Generated by this project; no third party has rights in it."
    listing = Listing(folder, (), scenes.CLASSES, licence, "cribo.data.preparation.scenes")
    return _manifest(name, settings, listing, rows, counts, annotations, warnings), rows


def _write_scene(folder: Path, settings: dict, job: tuple[str, int]) -> layouts.Written:
    return layouts.write_scene(folder, settings, *job)


def _verify(name: str, settings: dict, listing: Listing, workers: int) -> tuple[Manifest, list[Row]]:
    """Verify the user's files: decode every one, write nothing."""
    rows: list[Row] = []
    faults: list[Fault] = []
    present: dict[str, Counter] = {"train": Counter(), "val": Counter()}
    images = Counter(entry.split for entry in listing.entries)
    if not settings["exclude_broken"]:  # none will be left out, so sizes can be checked before hours of decoding
        _insist(name, settings, listing, {split: {"images": images[split]} for split in present})
    work = partial(check, listing.root, listing.rules, len(listing.classes))
    for result in each(work, listing.entries, workers, name):
        if isinstance(result, Fault):
            faults.append(result)
        else:
            row, ids = result
            rows.append(row)
            present[row.split].update([row.label] if row.label else [listing.classes[k] for k in ids if k != VOID])
    excluded = _exclude(name, settings, listing, faults)
    counts = _counts(rows, present, listing.classes)
    _insist(name, settings, listing, counts)
    warnings = _all_warnings(listing, rows, counts, excluded)
    annotations = _annotations(listing.root, listing.annotations)
    return _manifest(name, settings, listing, rows, counts, annotations, warnings, excluded), rows


def _exclude(name: str, settings: dict, listing: Listing, faults: Sequence[Fault]) -> dict[str, str]:
    """What is wrong with each unusable image, if the user wants to go on without them.

    Raises:
        DataError: the user does not (one sentence per kind of fault), or no image of a split can be used.
    """
    images, lost = (Counter(entry.split for entry in entries) for entries in (listing.entries, [f.entry for f in faults]))
    spent = [split for split in lost if lost[split] == images[split]]
    if faults and not settings["exclude_broken"]:
        wrong: dict[str, list[str]] = {}
        for fault in faults:
            wrong.setdefault(fault.what, []).append(fault.file)
        where = f"of the files of {name} in {listing.root}"
        advice = "" if spent else f"; data.{name}.exclude_broken: true goes on without them"
        raise DataError("\n".join(f"{len(files)} {where} {what}: {listed(files)}{advice}" for what, files in wrong.items()))
    for split in spent:
        first = next(fault for fault in faults if fault.entry.split == split)
        raise DataError(f"none of the {lost[split]} {split} images of {name} in {listing.root} can be used: {first}")
    return {fault.entry.image: str(fault) for fault in faults}


def _insist(name: str, settings: dict, listing: Listing, counts: Mapping[str, dict]) -> None:
    """Raise DataError if the set must be the paper's but differs from it in size."""
    if (other := _other_counts(counts, listing.published)) and settings["strict"]:
        raise DataError(f"{name} is not the set that the paper used, and data.{name}.strict is on: {'; '.join(other)}")


def _other_counts(counts: Mapping[str, dict], published: Mapping[str, int]) -> list[str]:
    """One phrase for each split that differs in size from the paper's."""
    return [
        f"{split} has {counts[split]['images']} images, the paper's has {images}"
        for split, images in published.items()
        if counts[split]["images"] != images
    ]


def _manifest(
    name: str,
    settings: dict,
    listing: Listing,
    rows: Sequence[Row],
    counts: dict[str, dict],
    annotations: dict[str, dict],
    warnings: Sequence[str],
    excluded: Mapping[str, str] = {},
) -> Manifest:
    return Manifest(
        name=name,
        kind=settings["kind"],
        settings=_recorded(settings),
        classes=list(listing.classes),
        ignore=VOID,
        counts=counts,
        index=manifest.sha256(manifest.index_bytes(rows)),
        licence=listing.licence,
        source=listing.source,
        warnings=list(warnings),
        annotations=annotations,
        excluded=dict(excluded),
        rules=listing.rules,
        place=None if settings["kind"] == "scenes" else SETS[settings["kind"]].PLACE,
    )
