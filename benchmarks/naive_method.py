"""The method written straight from the paper's equations: the baseline of benchmarks/method.py.

The code is plain and vectorised, and nothing is slowed down: distances between tokens are computed once per image, objects
that one view lacks are dropped before the losses, only accepted neighbours are projected, and each logit is computed once.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def cluster(tokens: Tensor, positions: Tensor, seeds: Tensor, K: int, lambda_pos: float, sharpness: float) -> Tensor:
    """Return cluster labels [B, n] of tokens [B, n, d] by App. B, Eqs. 12–17, with the released code's constants."""
    batch, n, _ = tokens.shape
    z = F.normalize(tokens, dim=-1)
    distance = (positions[:, :, None] - positions[:, None]).norm(dim=-1)
    distance[distance == 0] = torch.inf  # a token does not see itself
    centroids = torch.stack([z[b, seeds[b]] for b in range(batch)])
    member = torch.zeros(batch, n, K, dtype=torch.bool)
    for b in range(batch):
        member[b, seeds[b], torch.arange(K)] = True
    columns = torch.full((batch, K), 1 / K)
    for _ in range(5):
        semantic = -z @ centroids.transpose(1, 2)  # Eq. 12
        # Eq. 17: [B, i, l, k] holds the distance from token i to token l if l is in cluster k; the minimum is over l.
        positional = torch.where(member[:, None], distance[..., None], torch.inf).amin(dim=2)
        unknown = positional.isinf()
        positional[unknown] = 0
        average = positional.mean(dim=(1, 2), keepdim=True)
        positional = torch.where(unknown, average, positional)
        positional = positional / positional.amax(dim=(1, 2), keepdim=True)
        cost = semantic + lambda_pos * positional  # Eq. 16
        cost = (cost - cost.min()) / (cost.max() - cost.min())
        plan = torch.exp(-sharpness * cost)  # Eqs. 13, 14
        for _ in range(5):
            plan = plan / plan.sum(dim=2, keepdim=True) / n
            plan = plan / plan.sum(dim=1, keepdim=True) * columns[:, None]
        member = F.one_hot(plan.argmax(dim=2), K).bool()
        counts = member.sum(dim=1) + 0.01
        columns = counts / counts.sum(dim=1, keepdim=True)
        centroids = F.normalize(member.to(z.dtype).transpose(1, 2) @ z, dim=-1)  # Eq. 15
    return plan.argmax(dim=2)


class PaddedBank:
    """M_1 and M_2 of §3.2.2 as queues of S · K entries, newest first, with a mask of the entries that are objects."""

    def __init__(self, objects: Tensor, valid: Tensor):
        self.objects, self.valid = objects.flatten(1, 2), valid.flatten()  # [2, S K, d], [S K]

    @torch.no_grad()
    def neighbours(self, objects: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. 2: for objects [2, B, K, d], return nn(c_m), and the same entries of the other view's bank, at unit length."""
        found, partners = [], []
        for m in range(2):
            similarity = F.normalize(objects[m].flatten(0, 1), dim=1) @ F.normalize(self.objects[m], dim=1).T
            index = similarity.masked_fill(~self.valid, -torch.inf).argmax(dim=1)
            found.append(self.objects[m, index])
            partners.append(F.normalize(self.objects[1 - m, index], dim=1))
        return torch.stack(found), torch.stack(partners)

    @torch.no_grad()
    def update(self, objects: Tensor, valid: Tensor) -> None:
        """Put the batch in front and drop the oldest images at the end."""
        count = len(self.valid)
        self.objects = torch.cat([objects.flatten(1, 2), self.objects], dim=1)[:, :count]
        self.valid = torch.cat([valid.flatten(), self.valid])[:count]


class Bank:
    """M_1 and M_2 of §3.2.2: the objects of the last S images, newest first, as many as each image has, without padding."""

    def __init__(self, objects: Tensor, counts: Tensor):
        self.objects, self.counts = objects, counts  # [2, rows, d], [S]

    @torch.no_grad()
    def neighbours(self, objects: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. 2: for objects [2, n, d], return nn(c_m), and the same entries of the other view's bank, at unit length."""
        found, partners = [], []
        for m in range(2):
            similarity = F.normalize(objects[m], dim=1) @ F.normalize(self.objects[m], dim=1).T
            index = similarity.argmax(dim=1)
            found.append(self.objects[m, index])
            partners.append(F.normalize(self.objects[1 - m, index], dim=1))
        return torch.stack(found), torch.stack(partners)

    @torch.no_grad()
    def update(self, objects: Tensor, counts: Tensor) -> None:
        """Put the batch in front and drop the oldest images at the end."""
        self.counts = torch.cat([counts, self.counts])[: len(self.counts)]
        self.objects = torch.cat([objects, self.objects], dim=1)[:, : int(self.counts.sum())]


def weights(direction: Tensor, gain: Tensor) -> Tensor:
    """Return the prototype layer's matrix."""
    return gain * F.normalize(direction, dim=1)


def cross_entropy(student_logits: Tensor, teacher_logits: Tensor, centre: Tensor, tau_s: float, tau_t: float) -> Tensor:
    """Return H of Eq. 5 for each row, from full logits."""
    q = F.softmax((teacher_logits - centre) / tau_t, dim=-1)
    return -(q * F.log_softmax(student_logits / tau_s, dim=-1)).sum(dim=-1)


def losses(
    student, teacher, features: dict[str, Tensor], centres: tuple[Tensor, Tensor], tau_s: float, tau_t: float
) -> Tensor:
    """Return the sum of Eqs. 6, 8 and 10, means over views and objects; `features` are those of benchmarks/method.py."""
    valid, accepted = features["valid"], features["accepted"]
    with torch.no_grad():
        w_image, w_object = (weights(p.direction, p.gain) for p in (teacher.image_prototypes, teacher.object_prototypes))
        image_targets = [teacher(x) @ w_image.T for x in features["teacher_images"]]
        object_targets = [teacher(x[valid]) @ w_object.T for x in features["teacher_objects"]]
        near_targets = [teacher(x[a]) @ w_object.T for x, a in zip(features["neighbours"], accepted, strict=True)]
    w_image, w_object = (weights(p.direction, p.gain) for p in (student.image_prototypes, student.object_prototypes))
    images = [student(x) @ w_image.T for x in features["student_images"]]
    objects = [student(x[valid]) @ w_object.T for x in features["student_objects"]]
    total = 0
    for m in range(2):
        other = 1 - m
        total = total + cross_entropy(images[other], image_targets[m], centres[0], tau_s, tau_t).mean()
        total = total + cross_entropy(objects[other], object_targets[m], centres[1], tau_s, tau_t).mean()
        chosen = objects[other][accepted[m][valid]]
        total = total + cross_entropy(chosen, near_targets[m], centres[1], tau_s, tau_t).mean()
    return total / 2
