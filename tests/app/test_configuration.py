"""Configuration comes from a folder, an archive or the installed package; credentials reach every entry."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog

from fieldcast.app import conf_source as module
from fieldcast.app.conf_source import conf_source
from fieldcast.datasets.base import location
from fieldcast.errors import InputError
from fieldcast.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).parents[2]


def loader(conf: Path, **parameters: Any) -> OmegaConfigLoader:
    return OmegaConfigLoader(str(conf), env="test", runtime_params=parameters, **CONFIG_LOADER_ARGS)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "conf", tmp_path / "conf"))


@pytest.mark.parametrize("kind", ["gztar", "zip"])
def test_an_archive_is_as_good_as_its_folder(conf: Path, tmp_path: Path, kind: str) -> None:
    """An archive of the configuration as `kedro package` writes it, with the folder `conf` at its top."""
    archive = shutil.make_archive(str(tmp_path / "packed"), kind, conf.parent, "conf")
    unpacked = loader(Path(archive))
    for key in ("parameters", "catalog"):
        assert unpacked[key] == loader(conf)[key]


def catalog(conf: Path, root: str) -> DataCatalog:
    bootstrap_project(ROOT)
    with KedroSession.create(
        ROOT, env="test", conf_source=str(conf), runtime_params={"data_root": root}
    ) as session:
        return session.load_context().catalog


NAMES = (
    *(
        "fields",
        "quality",
        "splits",
        "extractor",
        "checkpoints",
        "report",
        "summary_sample",
        "stored_forecast",
    ),
    *("sample.vae.displayed", "forecast.vae.stability", "filled"),
)


def test_credentials_reach_every_entry(conf: Path) -> None:
    (conf / "test/credentials.yml").write_text("data_root: {key: mine}")
    given = catalog(conf, "memory:///credentials")
    resumable = (
        "reconstruct.linear.draws",
        "forecast.vae.draws",
        "forecast.vae.snapshots",
        "sample.vae.checkpoint",
    )
    for name in (*NAMES, *resumable, "figures_sample"):
        assert key_of(given.get(name)) == "mine", name
    assert all(key_of(given.get(name)._state) == "mine" for name in resumable)
    assert location(given.get("report")) == "memory:///credentials/08_reporting/report.html"


def key_of(dataset: Any) -> str | None:
    """The key with which a data set opens its file system."""
    while hasattr(dataset, "_dataset"):
        dataset = dataset._dataset
    files = dataset._filesystem if hasattr(dataset, "_filesystem") else dataset._fs
    return files.storage_options.get("key")


def test_without_credentials_there_are_none(conf: Path, tmp_path: Path) -> None:
    assert loader(conf)["credentials"] == {"data_root": {}}
    assert catalog(conf, str(tmp_path / "none")).get("fields")._fs_args == {}


def test_the_resolved_catalog_makes_the_same_data_sets(conf: Path, tmp_path: Path) -> None:
    """`kedro catalog resolve-patterns` prints it; it holds no credential."""
    (conf / "test/credentials.yml").write_text("data_root: {key: secret}")
    given = catalog(conf, str(tmp_path / "resolved"))
    names = (*NAMES, "forecast.vae.draws", "figures_sample", "sample.vae.results", "sample.vae.checkpoint")
    assert all(given.get(name) for name in names)
    text = yaml.safe_dump(given.resolve_patterns(["reporting"]))
    assert "secret" not in text and "settings" not in text
    credentials = {key: {"key": "secret"} for key in ("data_root", *credentials_named(yaml.safe_load(text)))}
    again = DataCatalog.from_config(yaml.safe_load(text), credentials)
    for name in names:
        assert again.get(name)._describe() == given.get(name)._describe(), name


def credentials_named(entry: Any) -> set[str]:
    """All values of a key `credentials`, however deep."""
    if not isinstance(entry, dict):
        return set()
    named = {entry["credentials"]} if isinstance(entry.get("credentials"), str) else set()
    return named.union(*(credentials_named(value) for value in entry.values()))


@pytest.mark.parametrize("printed", [True, "pth", ["text", "pth"], {"text": 1}])
def test_parts_that_cannot_be_printed_are_refused_before_the_run(conf: Path, printed: Any) -> None:
    entry = {"type": "text.TextDataset", "filepath": "a.txt", "metadata": {"print": printed}}
    (conf / "test/catalog.yml").write_text(yaml.safe_dump({"report": entry}))
    with pytest.raises(
        InputError, match=r"catalog, report: metadata.print is .*: give text, path or \[text, path\]"
    ):
        catalog(conf, "memory:///printed")


def test_the_configuration_of_the_project_comes_before_the_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages/fieldcast/conf"
    (installed / "base").mkdir(parents=True)
    monkeypatch.setattr(module, "INSTALLED", installed)
    monkeypatch.delenv("FIELDCAST_CONF", raising=False)
    monkeypatch.chdir(tmp_path)
    assert conf_source() == str(installed)
    (tmp_path / "conf/base").mkdir(parents=True)
    assert conf_source() == "conf"
    monkeypatch.setenv("FIELDCAST_CONF", "elsewhere")
    assert conf_source() == "elsewhere"


def test_a_folder_without_configuration_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no configuration in .*: go to .* --conf-source"):
        module.require_configuration(tmp_path)
