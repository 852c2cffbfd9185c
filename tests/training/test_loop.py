"""The loop: every parameter acts, no switch of `compute` does, and mistakes are refused before the first step."""

import json
import os
import signal
from contextlib import nullcontext
from dataclasses import asdict

import pytest
import torch
import yaml

from cribo import params, plan
from cribo.method.sharded_bank import ShardedBank
from cribo.model.architectures import BackboneSpec
from cribo.model.encoder import load_encoder
from cribo.model.export import write_encoder
from cribo.params import merged
from cribo.training.engine import checkpoint
from cribo.training.engine.distributed import World
from cribo.training.engine.interruption import Interrupted, stop_flag
from cribo.training.loop import check_shapes, save, starting_state, train
from tests.training.conftest import SMALL
from tests.training.runs import ALONE, flat, made, same
from tests.training.test_switches import SWITCHES


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Sums come in another order on another number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_training_lowers_the_loss_and_the_teacher_follows(tmp_path, settings, photos, compute):
    settings["losses"], settings["optimisation"]["epochs"] = ["cross_view"], 8
    settings["targets"]["warmup_epochs"] = 0
    for group in ("memory_bank", "matching"):
        del settings[group]
    state = train(settings, list(photos.splits["train"]), made(tmp_path / "run"), compute, ALONE)
    log = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert sum(x["loss"] for x in log[-4:]) < sum(x["loss"] for x in log[:4])
    pairs = zip(state.student.parameters(), state.teacher.parameters(), strict=True)
    assert any(not torch.equal(s, t) for s, t in pairs)


@pytest.mark.parametrize(
    ("architecture", "more", "prefix"),
    [
        ("vit_tiny_patch16_224", {"reg_tokens": 4}, 5),  # CLS and registers
        ("vit_wee_patch16_reg1_gap_256", {}, 1),  # a register alone: the image's vector is the mean of its patches
    ],
)
def test_a_vit_with_registers_or_without_cls_is_pretrained_and_exported_like_any_other(
    architecture, more, prefix, tmp_path, settings, photos, compute
):
    small = {"patch_size": 7, "embed_dim": 32, "depth": 2, "num_heads": 2}
    spec = BackboneSpec("vit_other_7", architecture, 7, small | more)
    settings = merged(settings, {"views": {"size": 35}, "optimisation": {"epochs": 1}}) | {"backbone": asdict(spec)}
    state = train(settings, list(photos.splits["train"]), made(tmp_path / "run"), compute, ALONE)
    vit = state.teacher.backbone.eval()
    write_encoder(vit, spec, 35, tmp_path / "other")  # compares features with timm's
    whole, patches = load_encoder(tmp_path / "other")(torch.rand(1, 3, 35, 49))
    assert vit.num_prefix_tokens == prefix and whole.shape == (1, 32) and patches.shape == (1, 5, 7, 32)


@pytest.mark.parametrize(
    ("change", "processes", "images", "key"),
    [
        ({"optimisation": {"batch_size": 64}}, 1, 26, "optimisation.batch_size"),
        ({}, 3, 26, "optimisation.batch_size"),
        ({"matching": {"pool_images": 3}}, 2, 26, "matching.pool_images"),
        ({"optimisation": {"batch_size": 16}, "targets": {"mean_images": 8}}, 4, 26, "targets.mean_images"),
        ({"clustering": {"normalise_images": 3}}, 1, 26, "clustering.normalise_images"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_with_the_key_to_change(settings, change, processes, images, key):
    with pytest.raises(ValueError, match=key):
        check_shapes(merged(settings, change), images, processes)


@pytest.mark.parametrize(
    ("group", "key", "fit"),
    [
        ("clustering", "normalise_images", {1, 2, 4, 8, 16}),
        ("matching", "pool_images", {1, 2, 4, 8, 16}),
        ("targets", "mean_images", {1, 2, 4, 16}),  # the whole batch or none but a process's own images
    ],
)
def test_groups_fit_that_a_process_holds_whole_or_that_several_processes_hold(settings, group, key, fit):
    for size in (1, 2, 4, 8, 16):
        sizes = {"targets": {"mean_images": 4}, "optimisation": {"batch_size": 16}}
        changed = merged(merged(settings, sizes), {group: {key: size}})
        with nullcontext() if size in fit else pytest.raises(ValueError, match=f"{group}.{key}"):
            check_shapes(changed, 16, 4)


CHANGES = [
    {"seed": 1},
    {"drop_path": 0.3},
    {"losses": ["cross_view", "cross_image"]},
    {"views": {"crop_area": [0.5, 1.0]}},
    {"views": {"flip": 0.0}},
    {"views": {"jitter": 0.0}},
    {"views": {"brightness": 0.1}},
    {"views": {"contrast": 0.1}},
    {"views": {"saturation": 0.0}},
    {"views": {"hue": 0.0}},
    {"views": {"grayscale": 1.0}},
    {"views": {"blur": [0.0, 0.0]}},
    {"views": {"blur_radius": [1.0, 1.1]}},
    {"views": {"solarise": [1.0, 1.0]}},
    {"views": {"crop_aspect": [0.9, 1.1]}},
    {"head": {"norm_last_layer": False}},
    {"head": {"freeze_epochs": 0}},
    {"clustering": {"K": 5}},
    {"clustering": {"lambda_pos": 3.0}},
    {"clustering": {"sharpness": 5.0}},
    {"clustering": {"outer_iterations": 1}},
    {"clustering": {"sinkhorn_iterations": 1}},
    {"clustering": {"marginals": "uniform"}},
    {"clustering": {"exclude_self": False}},
    {"clustering": {"normalise_images": 1}},
    {"memory_bank": {"images": 8}},
    {"matching": {"criterion": "none"}},
    {"matching": {"pool_images": 2}},
    {"matching": {"first_epoch": 2}},
    {"targets": {"student_temperature": 0.2}},
    {"targets": {"teacher_temperature": [0.05, 0.06]}},
    {"targets": {"warmup_epochs": 3}},
    {"targets": {"centre_momentum": 0.5}},
    {"optimisation": {"base_lr": 0.001}},
    {"optimisation": {"min_lr": 0.001}},
    {"optimisation": {"warmup_epochs": 2}},
    {"optimisation": {"weight_decay": [0.1, 0.4]}},
    {"optimisation": {"clip_norm": 0.01}},
    {"optimisation": {"beta2": 0.9}},
    {"optimisation": {"ema": [0.5, 1.0]}},
]
# Those that give weights of another shape, other photos, or another number of steps; test_switches.py tries the others.
OBVIOUS = {"backbone", "dataset", "views.size", "head.hidden", "head.bottleneck", "head.prototypes"}
OBVIOUS |= {"optimisation.epochs", "optimisation.batch_size"}
# In tests/method/test_clustering.py: after the final norm all tokens are about as long, and few steps show no difference.
ELSEWHERE = {"clustering.centroids"}


def keys(tree, above=""):
    """Dotted keys of all values of a tree."""
    here = [(f"{above}{key}", value) for key, value in tree.items()]
    return {each for key, value in here for each in (keys(value, f"{key}.") if isinstance(value, dict) else [key])}


def test_every_parameter_that_cribo_reads_is_tried_below_or_among_the_switches(settings):
    tried = {key for change in (*CHANGES, *SWITCHES) for key in keys(change)}
    read = keys(settings | {"backbone": settings["backbone"]["name"]})
    assert read - tried == OBVIOUS | ELSEWHERE


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: yaml.safe_dump(c, default_flow_style=True).strip())
def test_every_parameter_changes_the_weights(change, tmp_path, settings, photos, compute, reference):
    state = train(merged(settings, change), list(photos.splits["train"]), made(tmp_path / "run"), compute, ALONE)
    ours, theirs = flat(state.teacher.backbone.state_dict()), flat(reference["teacher"])
    assert any(not torch.equal(value, theirs[f"backbone.{key}"]) for key, value in ours.items())


@pytest.fixture(scope="module")
def reference(tmp_path_factory, photos):
    """The final state of the settings as they are."""
    settings = merged(plan.pretrain_settings(params.load("recipes/demo.yaml").model("cribo")), SMALL)
    compute = params.load("recipes/demo.yaml").compute.model_copy(
        update={"workers": 0, "log_steps": 1, "checkpoint_steps": 100}
    )
    return train(settings, list(photos.splits["train"]), tmp_path_factory.mktemp("reference"), compute, ALONE).to_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"workers": 2},
        {"checkpoint_steps": 1},
        {"log_steps": 3},
        {"keep_states": 5},
        {"save_in_background": False},
        {"recompute": True},
        {"tf32": True},  # on a CPU
        {"shard_bank": True},
    ],
    ids=str,
)
def test_no_compute_parameter_changes_the_weights(change, tmp_path, settings, photos, compute, reference):
    state = train(settings, list(photos.splits["train"]), made(tmp_path / "run"), compute.model_copy(update=change), ALONE)
    same(state.to_dict(), reference)


def test_networks_compute_in_the_precision_that_is_asked_for_and_the_bank_is_spread_where_that_is(
    tmp_path, settings, compute
):
    for asked in ({}, {"precision": "bf16"}, {"shard_bank": True}):
        state = starting_state(settings, 26, 9, tmp_path / "run", compute.model_copy(update=asked), ALONE)
        assert state.student.bf16 == state.teacher.bf16 == ("precision" in asked)
        assert isinstance(state.bank, ShardedBank) == ("shard_bank" in asked)


class Parts:
    """A state of which all processes hold parts."""

    step = 3

    def __init__(self):
        self.asked = 0

    def to_dict(self):
        self.asked += 1
        return {"step": 3}


@pytest.mark.parametrize("rank", [0, 1])
def test_all_processes_put_a_state_together_and_the_main_one_alone_saves_it(tmp_path, rank):
    state, saver = Parts(), checkpoint.Saver(tmp_path, 2, background=False)
    save(state, saver, World(rank, 2, ALONE.device))
    assert state.asked == 1 and [path.name for path in tmp_path.iterdir()] == ["state-00000003.pt"][rank:]


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")])
def test_a_signal_saves_at_a_step_boundary_and_it_is_said_where(tmp_path, settings, photos, compute, number, name):
    quiet = compute.model_copy(update={"checkpoint_steps": 1000})

    class Pesky(list):
        times = iter(range(2))

        def __getitem__(self, index):
            for _ in self.times:  # in the middle of loading a batch
                os.kill(os.getpid(), number)
            return super().__getitem__(index)

    with pytest.raises(Interrupted, match=f"stopped by {name} after step 1 of 9"):
        train(settings, Pesky(photos.splits["train"]), made(tmp_path / "run"), quiet, ALONE)
    assert [p.name for p in (tmp_path / "run").glob("*.pt")] == ["state-00000001.pt"]
    if number == signal.SIGTERM:
        os.kill(os.getpid(), number)  # one more, while the process ends, does nothing


def test_a_training_says_what_it_begins_and_one_that_goes_on_only_from_where(tmp_path, settings, photos, compute, capsys):
    records, folder = list(photos.splits["train"]), made(tmp_path / "run")
    train(settings, records, folder, compute, ALONE)
    said = capsys.readouterr().err
    assert "batch: 8 images a step" in said and "resuming" not in said
    train(settings, records, folder, compute, ALONE)
    assert capsys.readouterr().err == f"resuming after step 9 of 9, state in {folder}\n"
    starting_state(settings, 26, 9, tmp_path / "other", compute, World(1, 1, ALONE.device))
    assert capsys.readouterr().err == ""  # the main process says it for all


def test_without_a_signal_a_training_leaves_the_process_as_it_was():
    numbers = signal.SIGTERM, signal.SIGINT
    before = [signal.getsignal(number) for number in numbers]
    with stop_flag() as flag:
        assert not flag and all(signal.getsignal(n) != handler for n, handler in zip(numbers, before, strict=True))
    assert [signal.getsignal(number) for number in numbers] == before
