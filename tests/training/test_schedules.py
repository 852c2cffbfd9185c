"""Schedules against DINO's whole-run arrays."""

import numpy as np

from cribo.training.schedules import Schedule, cosine, learning_rate, peak_learning_rate, teacher_temperature


def test_learning_rate_equals_dinos_array():
    warmup, steps, peak, end = 10, 60, 3e-3, 1e-5
    rest = np.arange(steps - warmup)
    array = np.concatenate([np.linspace(0, peak, warmup), end + 0.5 * (peak - end) * (1 + np.cos(np.pi * rest / len(rest)))])
    np.testing.assert_allclose([learning_rate(i, steps, warmup, peak, end) for i in range(steps)], array)


def test_weight_decay_and_momentum_equal_dinos_array():
    steps = np.arange(50)
    array = 1 + 0.5 * (0.996 - 1) * (1 + np.cos(np.pi * steps / 50))
    np.testing.assert_allclose([cosine(0.996, 1.0, i, 50) for i in range(50)], array)


def test_teacher_temperature_equals_dinos_array():
    array = np.concatenate([np.linspace(0.04, 0.07, 30), np.full(20, 0.07)])
    np.testing.assert_allclose([teacher_temperature(e, 30, 0.04, 0.07) for e in range(50)], array)


def test_warm_ups_may_be_absent_or_fill_the_whole_run():
    assert learning_rate(0, 5, 0, 1.0, 0.1) == 1.0 and learning_rate(4, 5, 5, 1.0, 0.1) == 1.0
    assert teacher_temperature(0, 0, 0.04, 0.07) == 0.07 and teacher_temperature(0, 1, 0.04, 0.07) == 0.04


def test_learning_rate_scales_with_the_batch():
    assert peak_learning_rate(5e-4, 1024) == 2e-3


def test_a_moment_is_that_of_its_step_and_of_its_epoch(settings):
    settings["optimisation"] |= {"weight_decay": [0.04, 0.4], "ema": [0.9, 1.0], "base_lr": 0.01, "min_lr": 1e-5}
    schedule = Schedule(settings, 26)  # 3 steps an epoch; one epoch of frozen prototypes, one before neighbours count
    for step in range(9):
        now = schedule.at(step)
        assert now.learning_rate == learning_rate(step, 9, 3, 0.01 * 8 / 256, 1e-5)
        assert (now.weight_decay, now.ema) == (cosine(0.04, 0.4, step, 9), cosine(0.9, 1.0, step, 9))
        assert (now.epoch, now.temperature) == (step // 3, 0.04 if step < 3 else 0.07)
        assert (now.prototypes_frozen, now.cross_image) == (step < 3, step >= 3)
