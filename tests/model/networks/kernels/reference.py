"""Attention written out, one head of one image at a time."""

import torch


def attention(packed, heads):
    """softmax(q kᵀ / √D) v of packed queries, keys and values, [B, n, 3·heads·D]."""
    width, outputs = packed.shape[2] // 3, []
    D = width // heads
    for image in packed:
        columns = [image[:, i : i + D] for i in range(0, 3 * width, D)]
        each = zip(columns[:heads], columns[heads : 2 * heads], columns[2 * heads :], strict=True)
        outputs.append(torch.cat([(q @ k.T / D**0.5).softmax(dim=1) @ v for q, k, v in each], dim=1))
    return torch.stack(outputs)
