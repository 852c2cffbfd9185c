"""python -m cribo.inspect: show what is in a file of weights, ours or anyone's, without running any code in it.

python -m cribo.inspect FILE                    what it is, its parts, parameters, steps, digests
python -m cribo.inspect FILE --keys             every tensor with shape and type
python -m cribo.inspect FILE OTHER              what differs between two files
python -m cribo.inspect FILE... --average OUT   the mean of our checkpoints, as one of our checkpoints
python -m cribo.inspect FILE --export FOLDER    the encoder of one of our checkpoints, for timm
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cribo.command import check_out, explained
from cribo.model.checkpoint_file import header, read_checkpoint, settings_hash, write_checkpoint
from cribo.model.encoder import EncoderError
from cribo.model.export import teacher_backbone, write_encoder
from cribo.model.foreign.load import sha256
from cribo.model.foreign.read import read

NUMBERS = re.compile(r"bool|u?int(8|16|32|64)|bfloat16|float(8_\w+|16|32|64)|complex(32|64|128)")  # torch can widen these


def summary(path: Path, keys: bool = False) -> list[str]:
    """The lines that describe a file. Raises EncoderError for one that cannot be read safely."""
    tensors, plain = opened(path)
    lines = [f"file        {path}, {path.stat().st_size:,} bytes, sha256 {sha256(path)}", f"what        {kind(path, plain)}"]
    if (told := header(path)) is not None:
        lines += about(path, told)
    elif "step" in plain:
        lines.append(f"steps       {plain['step']}")
    for part, held in parts(tensors).items():
        count = sum(value.numel() for value in held.values())
        kinds = ", ".join(sorted({_type(value) for value in held.values()}))
        lines.append(f"part        {part}: {len(held)} tensors, {count:,} values, {kinds}")
    if untold := [key for key, value in tensors.items() if not _told(value)]:
        lines.append(f"not read    the values of {untold[0]}" + (f" and {len(untold) - 1} more" if len(untold) > 1 else ""))
    if wrong := [key for key, value in tensors.items() if _told(value) and not _finite(value)]:
        lines.append(f"not finite  {wrong[0]}" + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""))
    values = {key: value for key, value in plain.items() if isinstance(value, (int, float, str)) and len(str(value)) < 60}
    lines += [f"value       {key}: {value}" for key, value in list(values.items())[:20]]
    if keys:
        lines += [f"{key}  {list(value.shape)}  {_type(value)}" for key, value in tensors.items()]
    return lines


def kind(path: Path, plain: dict[str, Any]) -> str:
    """What kind of file this is, judging by what it holds."""
    if header(path) is not None:
        return "a checkpoint of cribo: what `export` reads"
    if "step" in plain and any(key.startswith("optimiser.") for key in plain):
        return "the resumable state of a training of cribo"
    if any(key.startswith("args") for key in plain):
        return "a checkpoint with its arguments, as DINO, iBOT, CrOC and CrIBo save them"
    return "a file of weights"


def about(path: Path, told: dict) -> list[str]:
    """The header as lines of text. Raises ValueError for a header that lacks what a training writes."""
    try:
        settings = told["settings"]
        lines = [
            f"trained     {settings['backbone']['name']} with losses {', '.join(settings['losses'])} on {told['dataset']}, "
            f"{told['steps']} steps of {settings['optimisation']['batch_size']} images",
            f"data        {told['dataset']}, digest {told['digest']}",
            f"settings    sha256 {settings_hash(settings)}",
        ]
        return [*lines, f"average     of {', '.join(told['averaged'])}"] if "averaged" in told else lines
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged (its entry `cribo` does not say what was trained: {error!r}): fetch or pretrain it again"
        ) from None


def opened(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """`split` of a file's content. Raises EncoderError if it is not safe to read, contains itself, or has ragged tensors."""
    try:
        tensors, plain = split(read(path))
    except RecursionError:
        raise EncoderError(f"{path} holds a list or dictionary inside itself, or far too deep in others: not read") from None
    if ragged := [key for key, value in tensors.items() if value.is_nested]:
        raise EncoderError(f"{path} holds {ragged[0]}, whose rows have several lengths, as no weights have: not read")
    return tensors, plain


def split(tree: Any, at: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and other values by their path in the tree."""
    if isinstance(tree, argparse.Namespace):
        tree = vars(tree)
    if isinstance(tree, Tensor):
        return {at: tree}, {}
    if not isinstance(tree, (dict, list, tuple)):
        return {}, {at: tree}
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        more = split(value, f"{at}.{key}" if at else str(key))
        tensors.update(more[0])
        plain.update(more[1])
    return tensors, plain


def parts(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Tensors by part: the first two names of a key that starts with a wrapper such as `teacher`, else the first."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        names = key.split(".")
        deep = names[0] in ("teacher", "student", "model", "module", "state_dict") and len(names) > 2
        found.setdefault(".".join(names[: 2 if deep else 1]), {})[key] = value
    return found


def comparison(first: Path, second: Path) -> list[str]:
    """What differs between two files, tensors part by part and then values; one line if nothing does."""
    (a, plain_a), (b, plain_b) = (opened(path) for path in (first, second))
    lines = _only(first, second, a, b)
    shared = {key: (a[key], b[key]) for key in a if key in b}
    lines += [f"{key}: {list(x.shape)} and {list(y.shape)}" for key, (x, y) in shared.items() if x.shape != y.shape]
    lines += [f"{key}: {_type(x)} and {_type(y)}" for key, (x, y) in shared.items() if x.dtype != y.dtype]
    untold = [key for key, pair in shared.items() if not all(map(_told, pair))]
    lines += [f"{key}: values not compared, {_type(a[key])} and {_type(b[key])}" for key in untold]
    same = {key: x for key, (x, y) in shared.items() if x.shape == y.shape and x.numel() and key not in untold}
    for part, held in parts(same).items():
        differences = {key: _distance(*shared[key]) for key in held}
        worst = max(differences, key=lambda key: (bool(differences[key].isnan().any()), float(differences[key].max())))
        square = sum(float(d.square().sum()) for d in differences.values())
        size = sum(float(_wide(shared[key][0]).abs().square().nansum()) for key in held)
        if (most := float(differences[worst].max())) != 0:
            lines.append(f"{part}: most {most:.3g} ({worst}), ‖a − b‖ / ‖a‖ = {(square / max(size, 1e-300)) ** 0.5:.3g}")
    told = [split({"trained": header(path) or {}})[1] for path in (first, second)]
    lines += _changed(first, second, plain_a | told[0], plain_b | told[1])
    return lines or ["the same tensors and values in both"]


def _only(first: Path, second: Path, a: dict, b: dict) -> list[str]:
    """Keys that only one of two files has."""
    return [
        f"only in {path}: {key}" for path, own, other in ((first, a, b), (second, b, a)) for key in own if key not in other
    ]


def _changed(first: Path, second: Path, a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Plain values that differ between two files, at most the first twenty."""
    lines = _only(first, second, a, b)
    # Compared as text: NaN then equals NaN, and 1 differs from 1.0 and from True.
    lines += [f"{key}: {_short(a[key])} and {_short(b[key])}" for key in a if key in b and repr(a[key]) != repr(b[key])]
    return lines[:20] + ([f"and {len(lines) - 20} more values"] if len(lines) > 20 else [])


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _type(tensor: Tensor) -> str:
    """The type, such as `float32`; with the layout if it is not the usual one, such as `float32 sparse_coo`."""
    layout = "" if tensor.layout == torch.strided else f" {tensor.layout}"
    return f"{tensor.dtype}{layout}".replace("torch.", "")


def _told(tensor: Tensor) -> bool:
    """Whether torch can compute with the values: not if two share a byte, nor if they are sparse or on the meta device."""
    return NUMBERS.fullmatch(_type(tensor)) is not None and not tensor.is_meta


def _finite(tensor: Tensor) -> bool:
    """Whether all values are finite; one-byte types, which torch cannot test, are widened first."""
    return bool((tensor.float() if tensor.dtype.itemsize == 1 else tensor).isfinite().all())


def _wide(tensor: Tensor) -> Tensor:
    """The tensor in double precision; it stays complex if it was."""
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


def _distance(x: Tensor, y: Tensor) -> Tensor:
    """|x − y|: 0 where both are NaN or the same infinity, NaN where only one is NaN."""
    x, y = _wide(x), _wide(y)
    return (x - y).abs().masked_fill((x == y) | (x.isnan() & y.isnan()), 0)


def average(paths: list[Path], out: Path) -> None:
    """Write the mean of our checkpoints, which must have the same architecture and the same keys.

    Raises ValueError if one is not a checkpoint of ours, or does not match the first.
    """
    (tensors, told), *others = (read_checkpoint(path) for path in paths)
    total = {key: _wide(value) for key, value in tensors.items()}
    for path, (more, more_told) in zip(paths[1:], others, strict=True):
        backbones = [about["settings"]["backbone"] for about in (more_told, told)]
        if backbones[0] != backbones[1]:
            raise ValueError(f"{path} holds a {backbones[0]['name']}, {paths[0]} a {backbones[1]['name']}")
        if odd := [key for key in total.keys() | more.keys() if key not in total or key not in more]:
            raise ValueError(f"{odd[0]} is not in both {paths[0]} and {path}")
        if odd := [key for key in total if total[key].shape != more[key].shape]:
            raise ValueError(f"{odd[0]} has another shape in {path} than in {paths[0]}")
        for key in total:
            total[key] += _wide(more[key])
    mean = {key: (value / len(paths)).to(tensors[key].dtype) for key, value in total.items()}
    told = {**told, "averaged": [f"{path} (sha256 {sha256(path)[:16]})" for path in paths]}
    write_checkpoint(out, mean, told)


def export(path: Path, folder: Path) -> None:
    """Write the encoder of one of our checkpoints. Raises ValueError if it is not one, or the folder cannot be written."""
    encoder = teacher_backbone(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--export {folder}: no such folder can be made ({error.strerror}): name another") from None
    try:
        write_encoder(*encoder, folder)
    except OSError as error:
        raise ValueError(
            f"--export {folder} cannot be written ({error.strerror}): make room there, or name another folder"
        ) from None


def weights_in(path: Path) -> Path:
    """The weights file in a folder that timm loads; a file is returned as is. Raises ValueError for a folder without one."""
    if not path.is_dir():
        return path
    for name in ("model.safetensors", "checkpoint.safetensors"):
        if (path / name).is_file():
            return path / name
    raise ValueError(f"{path} is a folder without model.safetensors: name a file in it")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        "python -m cribo.inspect", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--keys", action="store_true", help="list every tensor")
    parser.add_argument("--average", type=Path, metavar="OUT", help="write the mean of the files")
    parser.add_argument("--export", type=Path, metavar="FOLDER", help="write the encoder of the file")
    given = parser.parse_args(arguments)
    given.files = [weights_in(path) for path in given.files]
    if given.average:
        check_out(given.average, "--average")
        average(given.files, given.average)
        print(f"wrote {given.average}, the mean of {len(given.files)}")
    elif given.export:
        if len(given.files) > 1:
            raise ValueError("--export takes one file")
        export(given.files[0], given.export)
        print(f"wrote {given.export}, which timm loads to the same features")
    elif len(given.files) == 2:
        print("\n".join(comparison(*given.files)))
    else:
        for path in given.files:
            print("\n".join(summary(path, given.keys)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with explained():
        main(sys.argv[1:])
