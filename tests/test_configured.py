"""Configuration that tests keep is what Kedro's loader reads."""

import shutil
from pathlib import Path
from typing import Any

import configured
import pytest
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

from fieldcast.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).parents[1]


def loader(conf: Path, **given: Any) -> OmegaConfigLoader:
    return OmegaConfigLoader(str(conf), env="test", runtime_params=given, **CONFIG_LOADER_ARGS)


@pytest.mark.parametrize(
    "root", ["/data/one", "/data/an.other-one/data", "relative", "memory://a", "/data/a b"]
)
def test_kept_configuration_is_that_of_kedro_for_each_data_root(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"data_root": root, "seed": 3, "fill": {"output": "/data/fill.nc"}}
    kept = {kind: loader(ROOT / "conf", **given)[kind] for kind in configured.KINDS}
    monkeypatch.setattr(OmegaConf, "load", configured.PARSE)
    for kind in configured.KINDS:
        unkept = loader(ROOT / "conf", **given)
        assert kept[kind] == configured.READ(unkept, kind) and unkept.runtime_params == given


def test_changed_files_and_other_parameters_are_read_and_a_changed_copy_is_not_kept(tmp_path: Path) -> None:
    conf = Path(shutil.copytree(ROOT / "conf", tmp_path / "conf"))
    first = loader(conf, data_root="/data/one")["parameters"]
    first["limits"]["steps"] = "changed"
    assert loader(conf, data_root="/data/one")["parameters"]["limits"]["steps"] == 2
    assert loader(conf, data_root="/data/one", limits={"steps": 5})["parameters"]["limits"]["steps"] == 5
    file = conf / "test/parameters.yml"
    file.write_text(file.read_text().replace("limits: {steps: 2,", "limits: {steps: 3,"))
    assert loader(conf, data_root="/data/one")["parameters"]["limits"]["steps"] == 3
    (conf / "base/parameters/new.yml").write_text("new: 1")
    assert loader(conf, data_root="/data/one")["parameters"]["new"] == 1
