"""Data in a bucket of a local S3 server: stores whole or absent, sources, refusals in one sentence."""

from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import fsspec
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from moto.server import ThreadedMotoServer
from stores import dataset, piece

from fieldcast.app.preflight import refuse_unreachable, refuse_unusable_address
from fieldcast.datasets import NetCDFDataset, PicturesDataset, ZarrDataset
from fieldcast.errors import InputError
from fieldcast.fields.opening import read_file

KEYS = {"key": "user", "secret": "secret"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of an S3 server in this process."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def credentials(server: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Credentials for an empty bucket `bucket`, which the tools of AWS find as well."""
    urlopen(Request(f"{server}/moto-api/reset", method="POST")).close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["secret"])
    given = {**KEYS, "endpoint_url": server}
    bucket(given).mkdir("bucket")
    return given


def bucket(credentials: dict[str, Any]) -> Any:
    """The file system of the server, without a cache of its listings."""
    return fsspec.filesystem("s3", use_listings_cache=False, **credentials)


def objects(credentials: dict[str, Any], folder: str) -> dict[str, str]:
    """ETag of each object under a folder."""
    matches = bucket(credentials).find(folder, detail=True)
    return {name: entry["ETag"] for name, entry in matches.items()}


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


@pytest.mark.parametrize(("operation", "calls"), [("rm_file", 0), ("rm", 0), ("copy", 0), ("copy", 1)])
def test_a_store_is_whole_or_absent_whenever_its_replacement_is_cut_short(
    credentials: dict[str, Any], monkeypatch: pytest.MonkeyPatch, operation: str, calls: int
) -> None:
    stored = ZarrDataset(
        filepath="s3://bucket/a.zarr", credentials=credentials, save_args={"chunks": {"lead": 1}}
    )
    before, after = piece(0, 0).drop_attrs(), piece(1, 1).drop_attrs()
    stored.save(before)
    store = bucket(credentials)  # the instance that the data set has, too
    whole, count = getattr(store, operation), iter(range(100))

    def cut_short(path: Any, *arguments: Any, **options: Any) -> Any:
        if next(count) == calls:
            if operation == "rm":  # half of a folder, in the worst order
                store.rm_file(sorted(store.find(path))[-1])
            raise Killed
        return whole(path, *arguments, **options)

    with monkeypatch.context() as context, pytest.raises(Killed):
        context.setattr(store, operation, cut_short)
        stored.save(after)
    assert not stored.exists() or any(stored.load().equals(data) for data in (before, after))
    stored.save(after)
    xr.testing.assert_equal(stored.load(), after)
    assert not [name for name in objects(credentials, "bucket") if "partial" in name]


def test_entries_of_the_catalog_are_objects(credentials: dict[str, Any]) -> None:
    data = {
        "csv": pd.DataFrame({"a": [1]}),
        "parquet": pd.DataFrame({"a": [1]}),
        "text": "é",
        "json": {"a": 1},
    }
    for kind, content in {**data, "bytes": b"x"}.items():
        stored = dataset(kind, f"s3://bucket/run/{kind}", credentials=credentials)
        stored.save(content)
        loaded = stored.load()
        assert stored.exists() and (
            loaded.equals(content) if kind in ("csv", "parquet") else loaded == content
        )
    pictures = PicturesDataset(filepath="s3://bucket/run/figures", credentials=credentials)
    assert pictures.load() == {}
    for content in ({"a": b"1", "b": b"2"}, {"c": b"3"}):
        pictures.save(content)
        assert {name: load() for name, load in pictures.load().items()} == content and pictures.exists()
    assert not [name for name in objects(credentials, "bucket") if "partial" in name]


def test_another_process_that_wrote_is_noticed(credentials: dict[str, Any]) -> None:
    stored = NetCDFDataset(filepath="s3://bucket/folder/fill.nc", credentials=credentials)
    assert not stored.exists()
    written = xr.Dataset({"t": ("x", np.arange(3.0))})
    content = bytes(written.to_netcdf())
    fsspec.filesystem("s3", skip_instance_cache=True, **credentials).pipe_file(
        "bucket/folder/fill.nc", content
    )
    assert stored.exists() and stored.load().equals(written)


def test_a_bucket_that_cannot_be_used_is_refused_and_never_created(
    server: str, credentials: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_unreachable("s3://bucket/run", credentials)
    with pytest.raises(InputError, match="there is no bucket 'absent': create it"):
        refuse_unreachable("s3://absent/run", credentials)
    with pytest.raises(Exception, match="bucket"):
        NetCDFDataset(filepath="s3://absent/a.nc", credentials=credentials).save(xr.Dataset())
    assert bucket(credentials).ls("") == ["bucket"]
    with pytest.raises(InputError, match="can only be read"):
        refuse_unusable_address(f"{server}/run", {})
    with pytest.raises(InputError, match="'foo' is not a kind of address: give a folder"):
        refuse_unusable_address("foo://bucket/run", {})
    once = {"retries": {"max_attempts": 1}}
    with pytest.raises(InputError, match=r"cannot be reached .*check the network"):
        refuse_unreachable(
            "s3://bucket/run",
            {**KEYS, "endpoint_url": "http://127.0.0.1:9", "config_kwargs": once},
        )
    denied = PermissionError("The access key is not known")
    monkeypatch.setattr(bucket(credentials), "ls", lambda *arguments: (_ for _ in ()).throw(denied))
    with pytest.raises(
        InputError, match=r"access is denied .*data_root in the credentials\.yml of the environment"
    ):
        refuse_unreachable("s3://bucket/run", credentials)


def test_a_source_is_read_from_a_bucket_and_from_the_web(credentials: dict[str, Any], tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 2))
    data = xr.Dataset(
        {"t2m": (("time", "lat"), values)}, {"time": [4, 5, 6]}
    )  # integers without a fill value
    data.to_netcdf(tmp_path / "a.nc")
    data.to_zarr(tmp_path / "a.zarr", zarr_format=2, consolidated=True)
    bucket(credentials).put(str(tmp_path), "bucket/source", recursive=True)

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *arguments: Any) -> None:
            """Print nothing."""

    web = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    Thread(target=web.serve_forever, daemon=True).start()
    try:
        for place in ("s3://bucket/source", f"http://127.0.0.1:{web.server_port}"):
            for name in ("a.nc", "a.zarr"):
                xr.testing.assert_equal(read_file(f"{place}/{name}", "ingestion.path"), data)
            with pytest.raises(InputError, match="there is no NetCDF file at"):
                read_file(f"{place}/absent.nc", "ingestion.path")
    finally:
        web.shutdown()
