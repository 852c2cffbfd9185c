"""The training loop of both decoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor

from cribo.data.batches.streams import seed_of
from cribo.evaluation.harness.errors import EvaluationError
from cribo.evaluation.segmentation.crops import DROP_PATH, Crop, Crops, load_crops
from cribo.params import Compute
from cribo.training.engine import checkpoint
from cribo.training.engine.distributed import World, data_parallel
from cribo.training.engine.finite import NonFinite, Watch
from cribo.training.engine.interruption import Interrupted, asked_by, stop_flag
from cribo.training.engine.log import Journal, say, timed
from cribo.training.engine.resume import resume

POWER = 0.9  # of the polynomial schedule, as in mmsegmentation


@dataclass
class State:
    """What a stopped run needs to resume: trained weights, Adam's moments, iterations done. No random state is needed: every
    random number is a function of (seed, iteration)."""

    model: EncoderDecoder
    optimiser: torch.optim.Adam
    step: int = 0

    def trained(self) -> dict[str, Tensor]:
        """Return all tensors that training may change."""
        frozen = self.model.backbone.frozen
        return {k: v for k, v in self.model.state_dict().items() if not (frozen and k.startswith("backbone."))}

    def to_dict(self) -> dict:
        return {"trained": self.trained(), "optimiser": self.optimiser.state_dict(), "step": self.step}

    def restore(self, saved: dict) -> None:
        """Load a saved state, in place."""
        if saved["trained"].keys() != self.trained().keys():
            raise EvaluationError("the saved state is of another decoder: delete its folder in .resume and start again")
        self.model.load_state_dict(saved["trained"], strict=False)
        self.optimiser.load_state_dict(saved["optimiser"])
        self.step = saved["step"]


def initial_state(model: EncoderDecoder, weight_decay: float) -> State:
    """Set up Adam (β 0.9, 0.999; ε 1e-8; `weight_decay` is its L2 term) on all parameters that are not frozen."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return State(model, torch.optim.Adam(parameters, lr=0.0, weight_decay=weight_decay))


def polynomial(lr: float, end: float, step: int, steps: int) -> float:
    """Return the learning rate of iteration `step`, 0 to steps − 1, where it is `end`: mmengine's PolyLR, in closed form."""
    return (lr - end) * (1 - step / max(1, steps - 1)) ** POWER + end


def train(state: State, crops: Crops, settings: dict, lr: float, folder: Path, compute: Compute, world: World) -> State:
    """Train for settings["iterations"] iterations, resuming from the newest state in `folder`.

    The loss is mmsegmentation's: cross-entropy summed over labelled pixels, divided by the number of all pixels, void and
    padding included. The mean over processes is therefore the loss of the whole batch.

    Raises:
        Interrupted: stopped by SIGTERM or Ctrl-C at an iteration's end, state saved.
        FloatingPointError: the loss is not finite.
        CannotResume: there are saved states, but no complete one that all processes can read.
        EvaluationError: the batch cannot be split over the processes.
        DataError: a file is missing or corrupt.
    """
    model, steps, batch_size = state.model, settings["iterations"], settings["batch_size"]
    if batch_size % world.size:
        raise EvaluationError(f"a batch of {batch_size} cannot be split over {world.size} processes: change batch_size")
    slope, offset = settings["end_lr"]
    end = slope * lr + offset
    if resume(folder, world, state.restore) and world.main:
        say(f"resuming after iteration {state.step} of {steps}, state in {folder}")
    parallel = data_parallel(model, world)
    loader = load_crops(crops, batch_size, state.step, steps, world.rank, world.size, compute.workers)
    watch, saver = Watch(world), checkpoint.Saver(folder, compute.keep_states, compute.save_in_background)
    journal = Journal(folder / "metrics.jsonl", state.step, steps, batch_size, world)
    model.train()

    with stop_flag() as stop, journal:
        try:
            for batch in timed(loader, journal):
                torch.manual_seed(seed_of(settings["seed"], DROP_PATH, state.step, world.rank))
                rate = polynomial(lr, end, state.step, steps)
                for group in state.optimiser.param_groups:
                    group["lr"] = rate
                images, truth = prepare(model, batch)
                losses = parallel(images, truth, mode="loss")
                losses["decode.loss_ce"].backward()
                state.optimiser.step()
                state.optimiser.zero_grad(set_to_none=True)
                state.step += 1

                scores = {"loss": losses["decode.loss_ce"].detach(), "accuracy": losses["decode.acc_seg"].squeeze()}
                watch.add(state.step, scores, None, bool(stop))
                journal.tick(state.step)
                last = state.step == steps
                log = last or state.step % compute.log_steps == 0
                keep = last or state.step % compute.checkpoint_steps == 0
                if not (log or keep or watch.stopping):  # the same on all processes
                    continue
                means = watch.means()
                if log:
                    journal.record(state.step, (state.step * batch_size - 1) // len(crops), {**means, "lr": rate})
                stopping = watch.stopping and not last
                if (stopping or keep) and world.main:
                    saver.save(state.step, state.to_dict())
                if stopping or last:
                    saver.wait()
                    world.barrier()
                if stopping:
                    where = f"iteration {state.step} of {steps}"
                    raise Interrupted(f"stopped by {asked_by(stop)} after {where}; the same command resumes from there")
        except NonFinite as fault:
            raise FloatingPointError(f"{fault}: lower learning_rates; the last good state is in {folder}") from None
        finally:
            saver.close()
        if world.any(bool(stop)):  # asked in the last iterations: stop before evaluating the val split, which takes long
            raise Interrupted(f"stopped by {asked_by(stop)} after all {steps} iterations; the same command judges the model")
    return state


def prepare(model: EncoderDecoder, batch: Sequence[Crop]) -> tuple[Float[Tensor, "B 3 S S"], list[SegDataSample]]:
    """Move crops to the model's device: RGB, normalised, padded to one size with zeros (masks with void)."""
    samples = [SegDataSample(gt_sem_seg=PixelData(data=crop.mask.long())) for crop in batch]
    data = model.data_preprocessor({"inputs": [crop.image for crop in batch], "data_samples": samples}, training=True)
    return data["inputs"], data["data_samples"]
