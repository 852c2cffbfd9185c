"""The catalogue against the paper's rows and against what the documents say of it."""

import json
from pathlib import Path

import timm

from cribo.model.foreign.catalogue import CATALOGUE, PRINTED
from cribo.model.foreign.formats import FORMATS
from cribo.report.paper import values as paper


def test_the_catalogue_speaks_of_rows_that_the_paper_prints():
    printed = {(c.method, c.backbone, c.pretrain_dataset, c.epochs) for c in paper.cells() if c.setting == "dense_nn"}
    rows = {(a.method, PRINTED[a.architecture], a.data, a.epochs) for a in CATALOGUE.values() if a.method}
    assert rows <= printed
    # DINO and MAE on COCO were trained by the paper's authors and are trained here; Hummingbird published no weights.
    assert printed - rows == {
        ("DINO", "ViT-S/16", "COCO", "300"),
        ("MAE", "ViT-S/16", "COCO", "300"),
        ("Hummingbird", "ViT-B/16", "IN1K", "300"),
    }


def test_no_digest_is_invented_and_every_entry_is_complete():
    assert len({a.file for a in CATALOGUE.values()}) == len(CATALOGUE)
    for about in CATALOGUE.values():
        assert about.url.startswith("https://") and about.licence and about.format in FORMATS
        assert about.sha256 is None or len(about.sha256) == 64
        assert timm.is_model(about.architecture)
        json.dumps(about.args)


def documented(heading: str) -> list[list[str]]:
    """The table below a heading of docs/encoders.md, cell by cell."""
    section = Path("docs/encoders.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]


def test_the_documented_catalogue_has_every_encoder_with_its_file_row_and_licence():
    rows = [
        [name, a.file, f"{a.method}, {PRINTED[a.architecture]}, {a.data}, {a.epochs} epochs" if a.method else "–", a.licence]
        for name, a in CATALOGUE.items()
    ]
    assert documented("The catalogue")[1:] == rows


def test_every_format_is_documented():
    assert [row[0] for row in documented("Formats")[1:]] == list(FORMATS)
