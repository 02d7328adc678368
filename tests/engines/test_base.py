"""What an engine is told."""

from __future__ import annotations

from dataclasses import fields

import torch

from zeroscore.engines import Settings


def test_settings_of_an_engine_that_knows_nothing_of_tied_weights_stay_as_they_are() -> None:
    usual = Settings(None, torch.zeros(2, 3), "application", 0, "float32", 10)
    assert usual.tie_weights is False
    assert fields(Settings)[-1].name == "tie_weights"
