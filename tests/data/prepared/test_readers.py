"""Images and masks of every kind that users have; broken ones are refused by name."""

import io
import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from cribo.data.preparation.prepare import prepare
from cribo.data.preparation.sets import ade20k, pascal_context
from cribo.data.prepared.images import Mask, read_image, read_mask
from cribo.data.prepared.manifest import DataError, Row
from cribo.data.prepared.readers import _changed, open_set
from cribo.data.prepared.records import Record, Records

SETTINGS = {"kind": "scenes", "seed": 0, "size": 32, "train": 4, "val": 2, "objects": [1, 2]}
RAMP = np.linspace(0, 255, 40 * 30 * 3).reshape(30, 40, 3).astype(np.uint8)


@pytest.fixture
def prepared(tmp_path):
    prepare("scenes", SETTINGS, tmp_path, workers=1)
    return tmp_path


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", "jpg"), ("L", "jpg"), ("CMYK", "jpg"), ("RGB", "png"), ("L", "png"), ("RGBA", "png"), ("P", "png")],
)
def test_every_kind_of_image_reads_as_rgb(tmp_path, mode, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(RAMP).convert(mode).save(path, **({"quality": 95} if suffix == "jpg" else {}))
    read = read_image(path)
    with Image.open(path) as image:
        expected = np.array(image.convert("RGB"))
    assert read.shape == (30, 40, 3) and read.dtype == np.uint8
    assert np.abs(read.astype(int) - expected).max() <= 3  # two JPEG decoders


@pytest.mark.parametrize(("kind", "suffix"), [(np.uint16, "png"), (np.int32, "tif"), (np.float32, "tif")])
def test_image_of_more_than_eight_bits_is_refused_and_not_read_as_white(tmp_path, kind, suffix):
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray((RAMP[:, :, 0].astype(np.float64) * 200).astype(kind)).save(path)
    with pytest.raises(DataError, match=rf"deep.{suffix} has more than 8 bits per colour .mode [IF].*: convert it to 8"):
        read_image(path)


def test_mask_is_the_palettes_index_not_its_colour(tmp_path):
    ids = np.array([[0, 1, 20], [255, 7, 3]], dtype=np.uint8)
    for mode in ("L", "P"):
        image = Image.fromarray(ids)
        if mode == "P":
            image.putpalette([9, 8, 7] * 256)
        image.save(tmp_path / "mask.png")
        assert np.array_equal(read_mask(tmp_path / "mask.png"), ids)


def png(ids, bits, colours, before=b""):
    """A PNG of `bits` a value, gray (colours 0) or with a palette (3), as Pillow does not write them."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = (np.packbits((row[:, None] >> np.arange(bits)[::-1]) & 1).tobytes() for row in ids)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], bits, colours, 0, 0, 0))
    palette = chunk(b"PLTE", bytes(3 * 2**bits)) if colours == 3 else b""
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + before + header + palette + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("colours", [0, 3])
def test_mask_of_any_bits_is_read_as_stored_and_not_as_shown(tmp_path, bits, colours):
    ids = (np.arange(3 * 300) % 2**bits).reshape(3, 300).astype(np.uint8)
    (tmp_path / "mask.png").write_bytes(png(ids, bits, colours))
    read = read_mask(tmp_path / "mask.png")
    assert read.dtype == np.uint8 and np.array_equal(read, ids)


def test_mask_whose_header_is_not_first_is_refused(tmp_path):
    comment = struct.pack(">I", 3) + b"tEXta\0b" + struct.pack(">I", zlib.crc32(b"tEXta\0b"))
    (tmp_path / "mask.png").write_bytes(png(np.eye(4, dtype=np.uint8), 4, 0, before=comment))
    with pytest.raises(DataError, match=r"mask.png is corrupt \(a PNG begins with its header"):
        read_mask(tmp_path / "mask.png")


def test_a_png_with_a_changed_bit_is_refused_and_gives_no_other_classes(tmp_path):
    ids = np.kron(np.random.default_rng(0).integers(0, 21, (10, 12)), np.ones((20, 20))).astype(np.uint8)
    Image.fromarray(ids).save(tmp_path / "mask.png")
    raw = (tmp_path / "mask.png").read_bytes()
    pixels = range(raw.index(b"IDAT") + 4, raw.index(b"IEND") - 8)
    for place in np.random.default_rng(1).choice(pixels, 100, replace=False):
        (tmp_path / "mask.png").write_bytes(raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :])
        with pytest.raises(DataError, match=r"mask.png is corrupt"):
            read_mask(tmp_path / "mask.png")


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "TIFF", "WEBP"])
def test_mask_that_is_a_png_by_name_only_is_refused(tmp_path, kind):
    Image.fromarray(RAMP[:, :, 0]).save(tmp_path / "mask.png", kind)
    says = rf"mask.png is not a mask of class ids: it is {kind} whatever its name, make a PNG of the ids"
    with pytest.raises(DataError, match=says):
        read_mask(tmp_path / "mask.png")


def test_mask_in_colour_is_refused(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match=r"mask.png is not a mask of class ids"):
        read_mask(tmp_path / "mask.png")


def test_image_beyond_the_limit_of_pixels_is_called_too_large_and_not_corrupt(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # Pillow warns above it and refuses above its double
    for name, read in (("large.png", read_image), ("large.png", read_mask), ("large.jpg", read_image)):
        Image.fromarray(RAMP).save(tmp_path / name)
        says = rf"{name} is too large \(Image size \(1200 pixels\) exceeds limit of 1000 pixels\): scale it down"
        with pytest.raises(DataError, match=says) as error:
            read(tmp_path / name)
        assert "attack" not in str(error.value) and "corrupt" not in str(error.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("keep", [0, 10, 0.3, 0.9])
def test_truncated_file_is_refused_by_name(tmp_path, kind, keep):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, kind)
    raw = file.getvalue()
    path = tmp_path / "some image"
    path.write_bytes(raw[: keep if isinstance(keep, int) else int(keep * len(raw))])
    for read in (read_image, read_mask):
        with pytest.raises(DataError, match="some image is corrupt"):
            read(path)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_pixels_but_has_its_end_is_refused_and_not_read_as_gray(tmp_path, progressive):
    Image.fromarray(RAMP).save(tmp_path / "image.jpg", progressive=progressive)
    raw = (tmp_path / "image.jpg").read_bytes()
    (tmp_path / "image.jpg").write_bytes(raw[: raw.index(b"\xff\xda") + 40] + raw[-2:])
    with pytest.raises(DataError, match=r"image.jpg is corrupt \(pixels are missing"):
        read_image(tmp_path / "image.jpg")


def test_missing_image_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"gone.jpg cannot be read \(No such file"):
        read_image(tmp_path / "gone.jpg")


def test_opened_set_has_readable_records(prepared):
    opened = open_set("scenes", prepared)
    assert {split: len(records) for split, records in opened.splits.items()} == {"train": 4, "val": 2}
    assert len(opened.classes) == 13 and opened.ignore == 255 and len(opened.digest) == 64
    for records in opened.splits.values():
        for record in records:
            assert read_image(record.image).shape == (record.height, record.width, 3)
            assert read_mask(record.mask).shape == (record.height, record.width)


@pytest.mark.parametrize("kind", ["image", "mask"])
@pytest.mark.parametrize("change", ["truncate", "remove"])
def test_file_that_changed_since_prepare_is_named(prepared, kind, change):
    record = open_set("scenes", prepared).splits["val"][1]
    path: Path = record.image if kind == "image" else record.mask.path
    if change == "truncate":
        os.truncate(path, 100)
    else:
        path.unlink()
    with pytest.raises(DataError, match=rf"changed since `prepare`: run `dvc repro -f -s prepare@scenes` .*{path.name}"):
        open_set("scenes", prepared)


def test_first_process_of_a_machine_checks_the_files_for_all(prepared, monkeypatch):
    open_set("scenes", prepared).splits["val"][1].image.unlink()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert len(open_set("scenes", prepared).splits["val"]) == 2
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(DataError, match=r"1 file of scenes in .* changed since"):
        open_set("scenes", prepared)


def test_none_of_many_files_goes_unchecked(tmp_path):
    gone = [(f"{n}.jpg", 9) for n in range(2500)]
    assert _changed(tmp_path, gone) == [file for file, _ in gone]


def test_set_that_was_never_prepared_says_what_to_run(tmp_path):
    with pytest.raises(DataError, match="run `dvc repro prepare@scenes`"):
        open_set("scenes", tmp_path)


def test_records_of_a_split_are_a_sequence_that_workers_can_carry(prepared):
    records = open_set("scenes", prepared).splits["train"]
    assert list(records) == [records[i] for i in range(4)] and records[-1] == records[3]
    assert records[1:3] == (records[1], records[2])
    assert pickle.loads(pickle.dumps(records))[2] == records[2] and len(records[4:]) == 0
    for beyond in (4, -5):
        with pytest.raises(IndexError):
            records[beyond]


def test_a_million_records_take_little_memory():
    row = Row(
        "train", "n01440764/n01440764_10026", "train/n01440764/n01440764_10026.JPEG", "", 500, 375, 1, 0, "", "", "cat"
    )
    records = Records(Path("/data"), {}, {"cat": 7})
    for _ in range(20_000):
        records.add(row)
    assert len(pickle.dumps(records)) / len(records) < 100  # bytes an image
    assert records[19_999] == Record(row.id, Path("/data") / row.image, None, 500, 375, 7)


def test_scenes_give_crops_with_a_class_and_coco_annotations(prepared):
    opened = open_set("scenes", prepared)
    for split in ("train", "val"):
        assert len(opened.labelled[split]) > 0 and opened.annotations[split].is_file()
        for crop in opened.labelled[split]:
            assert opened.classes[crop.label] == crop.image.parent.name and crop.width == crop.height
            assert read_image(crop.image).shape == (crop.height, crop.width, 3)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.float64])
def test_labels_in_a_mat_file_may_have_any_numeric_type(tmp_path, kind):
    savemat(tmp_path / "a.mat", {"LabelMap": np.array([[0, 2, 200]]).astype(kind)})
    assert read_mask(Mask(tmp_path / "a.mat", pascal_context.RULES[".mat"])).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"LabelMap": np.array([[0.5, 1]])}, "is not a mask of class ids"),
        ({"LabelMap": np.array([[-1, 1]])}, "is not a mask of class ids"),
        ({"LabelMap": np.zeros((2, 2, 3))}, "is not a mask of class ids"),
        ({"Other": np.zeros((2, 2))}, "has neither LabelMap"),
        ({"GTcls": {"Boundaries": 1}}, "corrupt or not a MATLAB file"),
        (None, "corrupt or not a MATLAB file"),
    ],
)
def test_mat_file_without_labels_is_refused_by_name(tmp_path, tree, says):
    path = tmp_path / "a.mat"
    if tree is None:
        path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    else:
        savemat(path, tree)
    with pytest.raises(DataError, match=says) as error:
        read_mask(path)
    assert "a.mat" in str(error.value) and str(error.value).count("\n") == 0


def test_truncated_mat_file_is_refused_by_name(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"LabelMap": np.random.default_rng(0).integers(0, 459, (40, 40)).astype(np.uint16)}, do_compression=True)
    raw = path.read_bytes()
    for keep in (0, 50, 200, 700, len(raw) - 5):
        (tmp_path / "b.mat").write_bytes(raw[:keep])
        with pytest.raises(DataError, match=r"b\.mat (is corrupt|has neither)"):
            read_mask(tmp_path / "b.mat")


def test_value_that_a_rule_does_not_know_is_noticed_when_read(tmp_path):
    Image.fromarray(np.array([[151]], np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match=r"mask.png holds values that are not classes"):
        read_mask(Mask(tmp_path / "mask.png", ade20k.RULES[".png"]))
