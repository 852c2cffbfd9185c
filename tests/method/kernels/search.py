"""The kernel's neighbours beside those of a plain search, for sizes that are no multiple of its tiles."""

import json

import torch

from cribo.method.memory_bank import nearest

CASES = [
    (5, 300, 64, 0.7, False),
    (130, 2100, 48, 0.5, False),
    (40, 2300, 64, 0.6, True),
    (20, 700, 20, 0.8, False),
    (5, 300, 200, 0.8, False),
    (5, 13000, 16, 0.9, False),  # two tiles of keys in each part
    (3, 10, 16, 0.0, False),
]  # queries, keys, width, share of valid keys, whether ids count


def differences(device):
    """Of each case: largest shortfall of a similarity, and of a returned one from that of the returned key; other keys."""
    generator = torch.Generator().manual_seed(0)
    out = []
    for count, entries, width, share, by_id in CASES:
        vectors = torch.nn.functional.normalize(torch.randn(count + entries, width, generator=generator), dim=1)
        queries, keys = vectors.to(device).split([count, entries])
        valid = (torch.rand(entries, generator=generator) < share).to(device)
        asked = (torch.rand(count, generator=generator) < 0.7).to(device)
        ids = [torch.randint(9, (n,), generator=generator).to(device) for n in (count, entries)] if by_id else None
        best, index = nearest(queries, keys, valid, ids=ids)
        score, found = nearest(queries, keys, valid, ids=ids, search="fused", asked=asked)
        finite = best.isfinite()
        assert torch.equal(score.isfinite()[asked], finite[asked])
        asked &= finite
        if asked.any():
            assert valid[found[asked]].all() and (ids is None or (ids[0] != ids[1][found])[asked].all())
            of_key = (queries * keys[found]).sum(dim=1)
            off = [x[asked].abs().max().item() for x in (best - score, score - of_key)]
            out.append([*off, (index != found)[asked].float().mean().item()])
    return out


if __name__ == "__main__":
    print(json.dumps(differences("cpu")))
