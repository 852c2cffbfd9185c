"""What params.yaml is checked against is what timm builds."""

import pytest
import timm
import torch

from cribo.model.architectures import BACKBONES


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_has_as_many_blocks_as_its_spec_says(name):
    spec = BACKBONES[name]
    with torch.device("meta"):
        assert len(timm.create_model(spec.architecture, **spec.args).blocks) == spec.depth
