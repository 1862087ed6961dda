"""A node that resumes is given what an earlier run left of its outputs, and of no others."""

from pathlib import Path

from kedro.io import DataCatalog
from kedro.pipeline import node

from fieldcast.datasets import BytesDataset
from fieldcast.frame.resumption import Resumption


def test_only_outputs_that_resume_are_given(tmp_path: Path) -> None:
    stored = BytesDataset(filepath=str(tmp_path / "a"), missing="none", metadata={"resume": True})
    stored.save(b"earlier")
    catalog = DataCatalog(
        {
            "sample.vae.checkpoint": stored,
            "sample.vae.history": BytesDataset(filepath=str(tmp_path / "a"), metadata={"optional": True}),
            "sample.vae.costs": BytesDataset(filepath=str(tmp_path / "a")),
        }
    )
    outputs = [name for name in catalog]
    fit = node(lambda *_: (1, 2, 3), ["fields", "params:earlier"], outputs, name="fit")
    assert Resumption().before_node_run(fit, catalog) == {"params:earlier": {"checkpoint": b"earlier"}}
    (tmp_path / "a").unlink()
    assert Resumption().before_node_run(fit, catalog) == {"params:earlier": {"checkpoint": None}}
    other = node(lambda *_: (1, 2, 3), ["fields"], outputs, name="draw")
    assert Resumption().before_node_run(other, catalog) is None
