"""Trainings on a GPU have the losses of the processor; skipped without a GPU."""

import pytest
import torch

from benchmarks.gpu import FAMILIES
from benchmarks.loss_curves import COLUMNS, curve


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("address", FAMILIES)
def test_the_first_losses_are_those_of_the_processor(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    on_processor, on_gpu = (
        curve(address, "float32", False, device, steps=COLUMNS) for device in ("cpu", "cuda")
    )
    assert on_gpu == pytest.approx(on_processor, rel=1e-3)
