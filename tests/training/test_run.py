"""The run directory is named by everything that decides the weights."""

from cribo import params
from cribo.training import run


def test_the_fingerprint_changes_with_settings_photos_and_sources(settings, tmp_path, monkeypatch):
    base = run.fingerprint(settings, "a")
    assert run.fingerprint(settings, "a") == base
    assert run.fingerprint(params.merged(settings, {"clustering": {"lambda_pos": 9.0}}), "a") != base
    assert run.fingerprint(settings, "b") != base
    monkeypatch.setattr(run, "SOURCES", run.SOURCES[1:])
    assert run.fingerprint(settings, "a") != base


def test_the_order_of_keys_does_not_matter(settings):
    assert run.fingerprint(dict(reversed(settings.items())), "a") == run.fingerprint(settings, "a")
