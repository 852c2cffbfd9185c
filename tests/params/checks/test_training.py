"""How a model is trained: sizes at the very edge of what fits together, and just beyond."""

from __future__ import annotations

import pytest

from tests.edits import DEMO, edited, parse, sentences


def of_cribo(settings: str) -> str:
    """The demo with other settings of its model `cribo`."""
    return edited("models.trained.cribo", f"{{dataset: scenes, {settings}}}")


@pytest.mark.parametrize(
    ("most", "more", "key", "says"),
    [
        ("clustering: {K: 72}", "clustering: {K: 73}", "clustering.K", "two views of 48 px have 72"),
        ("targets: {mean_images: 16}", "targets: {mean_images: 15}", "targets.mean_images", "split into groups of 15"),
        ("optimisation: {batch_size: 96}", "optimisation: {batch_size: 97}", "optimisation.batch_size", "96 training"),
        (
            "losses: [global], views: {local: {count: 2, size: 24}}",
            "losses: [global], views: {local: {count: 2, size: 28}}",
            "views.local.size",
            "28 px is not a multiple of vit_demo_8's 8 px patch",
        ),
    ],
)
def test_what_just_fits_is_taken_and_what_does_not_is_refused_where_it_stands(most, more, key, says):
    text = edited("data.scenes.train", "96", of_cribo(most))
    parse(text)
    found = sentences(edited("data.scenes.train", "96", of_cribo(more)))
    assert any(f"models.trained.cribo.{key}: " in line and says in line for line in found)


def test_the_pixels_of_mae_go_with_no_other_loss():
    parse(of_cribo("losses: [pixels]"))
    (found,) = sentences(of_cribo("losses: [pixels, global]"))
    assert "models.trained.cribo.losses: pixels is MAE's and stands alone" in found


def test_a_learning_rate_may_stay_at_its_peak_to_the_end():
    assert parse(of_cribo("optimisation: {base_lr: 0.5, batch_size: 16, min_lr: 0.03125}")).trained["cribo"]


def test_mae_sees_at_least_one_patch():
    assert parse(of_cribo("losses: [pixels], mae: {mask: 0.97}")).trained["cribo"].views.size == 48
    (found,) = sentences(of_cribo("losses: [pixels], mae: {mask: 0.98}"))
    assert "models.trained.cribo.mae.mask: of 36 patches none is seen when 0.98 are masked: lower it" in found


def test_a_model_without_objects_needs_no_clusters_of_labels():
    parse(of_cribo("losses: [global], clustering: {algorithm: labels, K: 12}"))


def test_a_model_without_an_oracle_learns_from_photos_without_masks():
    text = DEMO.replace("\npretrain:", "  photos: {kind: imagenet}\n\npretrain:", 1)
    parse(edited("models.trained.cribo", "{dataset: photos}", text))
