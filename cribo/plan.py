"""params.yaml → one small settings file per stage, with exactly the keys that the stage reads.

DVC compares these files, so a stage is stale if and only if something it reads has changed: a λ_pos that no loss of a model
uses does not retrain that model, and a new row in `models` computes only itself. Only the prepare stage reads paths to a
user's photos (for others, the manifest stands for the photos' content), and `compute` appears nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from cribo.command import did_you_mean
from cribo.model.architectures import BACKBONES
from cribo.model.foreign.catalogue import CATALOGUE, PRINTED
from cribo.params import Imported, Params, Trained, is_mae, needs_bank, needs_objects
from cribo.params.evaluate import PROTOCOLS, Decoding

# Parameters of protocols, besides models and data sets, each of whose values has a cell or a column.
MORE_AXES = ("subsample", "layers", "learning_rates")
# The keys that each clustering algorithm reads; sinkhorn reads the whole group.
CLUSTERING_READS = {"kmeans": {"algorithm", "K", "outer_iterations"}, "labels": {"algorithm", "K"}}


def plan(params: Params) -> dict[str, dict]:
    """Settings by file, such as `pretrain/cribo` → what pretraining cribo reads."""
    files: dict[str, dict] = {}
    for name, spec in params.data.items():
        files[f"data/{name}"] = spec.model_dump(mode="json")
    for name, model in params.trained.items():
        files[f"pretrain/{name}"] = pretrain_settings(model)
    for name, spec in params.models.imported.items():
        files[f"import/{name}"] = import_settings(spec)
    for protocol in PROTOCOLS:
        block = getattr(params.evaluate, protocol)
        for name in block.datasets:
            read = block.on(name) if isinstance(block, Decoding) else block
            settings = read.model_dump(mode="json", exclude={"models", "datasets"})
            files[f"{protocol}/{name}"] = {"dataset": name, **settings}
    for model in params.report.examples.models:
        for dataset in params.report.examples.datasets:
            files[f"examples/{model}-{dataset}"] = example_settings(params, model)
    files["report"] = report_settings(params)
    return files


def import_settings(spec: Imported) -> dict:
    """What importing these weights reads."""
    ours = BACKBONES.get(spec.backbone)
    return {**spec.model_dump(mode="json", exclude={"row"}), "ours": ours.tree() if ours else None}


def pretrain_settings(model: Trained) -> dict:
    """What training this model reads: keys that none of its losses uses are left out, and `fidelity` is replaced."""
    settings = model.model_dump(mode="json", exclude={"row", "method", "fidelity"})
    settings["backbone"] = BACKBONES[model.backbone].tree()
    if not model.views.local.count:
        del settings["views"]["local"]
    if is_mae(model):
        for group in ("drop_path", "head", "clustering", "memory_bank", "matching", "targets"):
            del settings[group]
        del settings["optimisation"]["ema"]
        return settings
    del settings["mae"]
    if not needs_objects(model):
        del settings["clustering"], settings["targets"]["mean_images"]
    elif (algorithm := model.clustering.algorithm) in CLUSTERING_READS:
        settings["clustering"] = {k: v for k, v in settings["clustering"].items() if k in CLUSTERING_READS[algorithm]}
    if not needs_bank(model):
        del settings["memory_bank"], settings["matching"]
    elif model.matching.criterion != "cycle":
        del settings["matching"]["pool_images"]
    return settings


def example_settings(params: Params, name: str) -> dict:
    """What the pictures of a model read: how it makes objects, if it was trained here, and some keys of the protocols."""
    trained = pretrain_settings(params.model(name)) if name in params.models.trained else {}
    read = ("seed", "views", "clustering", "matching", "optimisation")
    model = {key: trained[key] for key in read if key in trained}
    if model:
        model["optimisation"] = {"epochs": model["optimisation"]["epochs"]}
        model["views"] = {key: value for key, value in model["views"].items() if key != "local"}
    evaluate, examples = params.evaluate, params.report.examples
    return {
        "photos": examples.photos,
        "bank": examples.bank,
        "model": model or None,
        "dense_nn": {"k": evaluate.dense_nn.k, "temperature": evaluate.dense_nn.temperature},
        "knn": {"short_side": evaluate.knn.short_side, "crop": evaluate.knn.crop},
    }


def report_settings(params: Params) -> dict:
    """Rows and columns of the tables, in the order of params.yaml, and what the paper calls each."""
    rows = {}
    for name in params.evaluate.models:
        if name in params.models.trained:
            model = params.model(name)
            rows[name] = {
                "row": model.row or name,
                "backbone": model.backbone,
                "dataset": model.dataset,
                "epochs": model.optimisation.epochs,
                "losses": list(model.losses),
                "method": model.method,
            }
        else:
            rows[name] = imported_row(name, params.models.imported[name])

    def cells(protocol: str) -> dict[str, list]:
        judged, block = params.evaluate.judged(protocol), getattr(params.evaluate, protocol)
        more = {axis: list(getattr(block, axis)) for axis in MORE_AXES if axis in type(block).model_fields}
        return {"models": [name for name in rows if name in judged], "datasets": list(block.datasets), **more}

    return {
        **params.report.model_dump(mode="json"),
        "examples": params.report.examples.model_dump(mode="json", include={"models", "datasets"}),
        "models": rows,
        **{protocol: cells(protocol) for protocol in PROTOCOLS},
    }


def imported_row(name: str, spec: Imported) -> dict:
    """A row for weights from elsewhere; the paper has values for those of the catalogue."""
    about = CATALOGUE.get(spec.weights)
    if about is None:
        own = {"backbone": spec.backbone, "dataset": None, "epochs": 0, "losses": [], "method": None}
        return {"row": spec.row or name, **own}
    backbone = PRINTED.get(about.architecture, about.architecture)
    label = ", ".join(filter(None, (about.method or name, backbone, about.data)))
    return {
        "row": spec.row or label,
        "backbone": backbone,
        "dataset": about.data,
        "epochs": about.epochs,
        "losses": ["global", "cross_view", "cross_image"] if about.method == "CrIBo" else [],
        "method": about.method,
    }


def write(params: Params, folder: str | Path) -> list[Path]:
    """Write the plan as YAML files under `folder` and return their paths."""
    written = []
    for name, settings in plan(params).items():
        path = Path(folder) / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(settings, sort_keys=False))
        written.append(path)
    return written


def read(name: str, folder: str | Path = "results/plan") -> dict:
    """The settings of one stage. Raises FileNotFoundError that says what to run if the plan was not made."""
    path = Path(folder) / f"{name}.yaml"
    if not path.exists():
        raise FileNotFoundError(_unplanned(path, path.stem, _planned(path.parent)))
    return yaml.safe_load(path.read_text())


def made(kind: str, name: str, results: str | Path = "results") -> Path:
    """The path results/KIND/NAME: what training (`pretrain`) or export and import (`encoders`) made of a model.

    Raises FileNotFoundError that says what to run if it is missing, or which name was probably meant.
    """
    path, planned = Path(results) / kind / name, Path(results) / "plan"
    if path.exists():
        return path
    trained, imported = _planned(planned / "pretrain"), _planned(planned / "import")
    if name in trained:
        stage = "pretrain" if kind == "pretrain" else "export"
    elif kind == "encoders" and name in imported:
        stage = "import"
    else:
        raise FileNotFoundError(_unplanned(path, name, trained if kind == "pretrain" else [*trained, *imported]))
    raise FileNotFoundError(f"{path} is missing: run `dvc repro {stage}@{name}`")


def _planned(folder: Path) -> list[str]:
    return [path.stem for path in sorted(folder.glob("*.yaml"))]


def _unplanned(path: Path, name: str, names: Sequence[str]) -> str:
    return f"{path} is missing: run `dvc repro plan`, or give a name that params.yaml has{did_you_mean(name, names)}"
