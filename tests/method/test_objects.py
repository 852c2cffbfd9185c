"""Pooling against loops."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cribo.method.objects import pool_objects, seen_in_both


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 7), st.integers(0, 50))
def test_an_object_is_the_mean_of_its_clusters_tokens_in_one_view(images, patches, K, seed):
    g = torch.Generator().manual_seed(seed)
    tokens = torch.randn(images, 2 * patches, 4, generator=g, dtype=torch.double)
    labels = torch.randint(0, K, (images, 2 * patches), generator=g)
    objects, both = pool_objects(tokens, labels, K), seen_in_both(labels, K)
    for b in range(images):
        for k in range(K):
            members = [
                [
                    t
                    for t, label in zip(tokens[b, v * patches : (v + 1) * patches], labels[b, v * patches :], strict=False)
                    if label == k
                ]
                for v in range(2)
            ]
            assert both[b, k] == all(members)
            for view in range(2):
                mean = torch.stack(members[view]).mean(0) if members[view] else torch.zeros(4, dtype=torch.double)
                torch.testing.assert_close(objects[view, b, k], mean)


def test_gradients_reach_every_token_of_a_cluster_equally():
    tokens = torch.randn(1, 4, 3, requires_grad=True)
    pool_objects(tokens, torch.tensor([[0, 0, 1, 0]]), 2)[0, 0, 0].sum().backward()
    torch.testing.assert_close(tokens.grad[0], torch.tensor([[0.5] * 3, [0.5] * 3, [0.0] * 3, [0.0] * 3]))
