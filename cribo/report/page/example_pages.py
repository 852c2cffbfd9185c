"""results/examples/ as HTML: matches across photos, segmentation, retrieval."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from cribo.report.experiment.results import ReportError
from cribo.report.page.markup import image, paragraph


def examples(folder: Path) -> str:
    """HTML of one folder of examples, with a heading for each kind that it has; empty if the folder was not made."""
    path = folder / "examples.json"
    if not path.exists():
        return ""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        parts = [_matches(tree, folder), _segmentation(tree, folder), _retrieval(tree, folder)]
    except (ValueError, KeyError, TypeError, OSError) as error:
        stage = f"examples@{folder.name}"
        raise ReportError(f"{path} or one of its pictures is damaged ({error!r}): run dvc repro -f {stage}") from None
    licence = paragraph(f"Photos: {tree['source']}. Licence: {tree['licence'].rstrip('.')}.", "note")
    return "\n".join([*filter(None, parts), licence])


def _about(tree: dict) -> str:
    return f"{tree['model']} on {tree['dataset']}"


def _matches(tree: dict, folder: Path) -> str:
    found = tree["matches"]
    if not found:
        return ""
    back = f"the way back leads to it in a pool of {found['pool']} photos"
    criterion = {"cycle": back, "none": "there is one", "labels": "it has the same class"}
    text = (
        f"Each query view, its regions in colours of their own (K = {found['K']}), then single regions, left, and the "
        f"nearest neighbour of each, right, among the objects of {found['bank']} other training photos. cos: cosine. "
        f"✓: {'' if found['learnt'] else 'would be '}learnt from, as {criterion[found['criterion']]}; so are "
        f"{100 * found['ratio']:.1f} % of the objects that both views of {found['queries']} photos show. {_groups(found)}"
        "Views are drawn as in training. The exported teacher computes the bank again, because training's own is deleted "
        "with its state. Photos are spread evenly over the split, not chosen."
    )
    blocks = [_match(folder, photo) for photo in found["photos"]]
    title = f"<h3>Object-level matches across photos (Figs. 4 and 5): {escape(_about(tree))}</h3>"
    return "\n".join([title, paragraph(text, "note"), *blocks])


def _groups(found: dict) -> str:
    """Say whether clustering and criterion saw as many photos together as in training."""
    together = f"{found['group']} photo{'s' * (found['group'] != 1)}" if found["group"] else ""
    scaled = f"the clustering's costs are scaled over {together}" if together else ""
    if found["own_groups"]:
        return f"As in training, {scaled}. " if scaled else ""
    return f"Training's groups of photos are larger than there is room for here{f': {scaled}' if scaled else ''}. "


def _match(folder: Path, photo: dict) -> str:
    views = image(folder / photo["view"], "query view") + image(folder / photo["regions"], "its regions")
    caption = f"{photo['id']}: objects seen in both views {photo['objects']}, accepted {photo['accepted']}"
    pairs = "\n".join(_pair(folder, pair) for pair in photo["pairs"])
    return (
        f'<div class="match"><figure>{views}<figcaption>{escape(caption)}</figcaption></figure>'
        f'<div class="pairs">{pairs}</div></div>'
    )


def _pair(folder: Path, pair: dict) -> str:
    tick = '<span class="yes">✓</span> ' if pair["accepted"] else ""
    region, neighbour = (
        image(folder / pair["object"], "region of the query view"),
        image(folder / pair["neighbour"], pair["id"]),
    )
    return (
        f'<figure><div style="border-color:{pair["colour"]}">{region}{neighbour}</div>'
        f"<figcaption>{tick}{escape(pair['id'])}, cos {pair['cosine']:.2f}</figcaption></figure>"
    )


def _segmentation(tree: dict, folder: Path) -> str:
    found = tree["segmentation"]
    if not found:
        return ""
    legend = "".join(f'<li><i style="background:{e["colour"]}"></i>{escape(e["name"])}</li>' for e in found["legend"])
    rows = "\n".join(
        "<figure><div>"
        + "".join(image(folder / photo[what], what) for what in ("photo", "truth", "prediction"))
        + f"</div><figcaption>{escape(photo['id'])}</figcaption></figure>"
        for photo in found["photos"]
    )
    return (
        f"<h3>Segmentation without training: {escape(_about(tree))}</h3>\n"
        + paragraph(
            f"Photo, truth, and what dense nearest neighbours predict with {found['memory']} training photos in memory; "
            "white: void. Val photos spread evenly over the split.",
            "note",
        )
        + f'\n<div class="triple">\n{rows}\n</div>\n<ul class="legend">{legend}</ul>'
    )


def _retrieval(tree: dict, folder: Path) -> str:
    found = tree["retrieval"]
    if not found:
        return ""
    blocks = []
    for photo in found["photos"]:
        query = photo["query"]
        cells = [_thumb(folder, query, "query", query["class"])]
        for one in photo["neighbours"]:
            same = one["class"] is not None and one["class"] == query["class"]
            cells.append(_thumb(folder, one, f"{'✓ ' if same else ''}cos {one['cosine']:.2f}", one["class"], same))
        blocks.append(f'<div class="thumbs">{"".join(cells)}</div>')
    text = (
        f"A val photo, then its nearest among {found['memory']} training photos by cosine ({found['feature']}), best first"
        f"{'; ✓: of the same class' if found['photos'][0]['query']['class'] else ''}."
    )
    return "\n".join([f"<h3>Retrieval of whole images: {escape(_about(tree))}</h3>", paragraph(text, "note"), *blocks])


def _thumb(folder: Path, picture: dict, words: str, label: str | None, same: bool = False) -> str:
    words = f'<span class="yes">{escape(words)}</span>' if same else escape(words)
    caption = f"{words}{f'<br>{escape(label)}' if label else ''}"
    return f"<figure>{image(folder / picture['picture'], picture['id'])}<figcaption>{caption}</figcaption></figure>"
