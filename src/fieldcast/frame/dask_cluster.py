"""The Dask cluster of a run: started here, or at an address; as `conf/<env>/dask.yml` configures it."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import dask
from kedro.config import MissingConfigException
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from fieldcast import pipeline_registry
from fieldcast.errors import InputError
from fieldcast.frame.side_by_side import cores
from fieldcast.runtime import start_server

# Set before `distributed` is imported, which reads some of it then: no web pages, and workers that are forks of a
# server that has imported what nodes need.
CONFIGURATION = {
    "logging": {"distributed": "error"},  # the run reports the node that has lost its worker
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.multiprocessing-method": "forkserver",
}
TLS_FILES = ("tls_ca_file", "tls_client_cert", "tls_client_key")


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DaskOptions:
    """Options of a cluster, in `dask.yml`.

    Parameters
    ----------
    address
        Address of a running scheduler, such as `tls://host:8786`; None starts a cluster for this run.
    tls_ca_file, tls_client_cert, tls_client_key
        Files for the encrypted connection to the scheduler at `address`.
    slurm
        Options of `dask_jobqueue.SLURMCluster`, each job of which is a worker; None starts processes of this machine.
    workers
        Number of workers that are started; by default the cores of this machine. With `slurm` it must be set.
    threads
        Threads of the numerical libraries in a node; by default an equal share of this machine's cores.
    gpus
        GPUs of each worker, as its Dask resource `GPU`; each training takes one.
    timeout
        Time in which the scheduler must answer and the first worker start [s].
    """

    address: str | None = None
    tls_ca_file: str | None = None
    tls_client_cert: str | None = None
    tls_client_key: str | None = None
    slurm: dict[str, Any] | None = None
    workers: Annotated[int, Field(ge=1)] | None = None
    threads: Annotated[int, Field(ge=1)] | None = None
    gpus: Annotated[int, Field(ge=0)] = 0
    timeout: Annotated[float, Field(gt=0)] = 60.0

    def __post_init__(self) -> None:
        if self.address and self.slurm is not None:
            raise InputError("dask.yml: 'address' and 'slurm' name two clusters: leave one of them out.")
        if self.slurm is not None and self.workers is None:
            raise InputError("dask.yml: 'slurm' needs 'workers', the number of its jobs.")


def dask_options() -> DaskOptions:
    """Read `dask.yml` of the environment of the run; without one, the defaults."""
    context = pipeline_registry.CONTEXT.get()
    try:
        configured: Mapping[str, Any] = context.config_loader["dask"] if context else {}
    except MissingConfigException:
        configured = {}
    options: DaskOptions = TypeAdapter(DaskOptions).validate_python(configured)
    return options


@contextmanager
def connect(options: DaskOptions, max_workers: int | None) -> Iterator[Any]:
    """A client of the cluster, whose first worker is ready.

    Parameters
    ----------
    options
        Options of the cluster.
    max_workers
        Number of workers that the run can use; None for all.
    """
    dask.config.set(CONFIGURATION)
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            "--runner DaskRunner needs a package that is not installed: pip install 'fieldcast[dask]'."
        ) from None
    # now, as the import adds defaults: Dask would set the threads of this process, too
    dask.config.set({"distributed.nanny.pre-spawn-environ": {}})
    where = options.address or ("SLURM" if options.slurm else "this machine")
    cluster = None
    try:
        if options.address:
            client = Client(options.address, security=security(options), timeout=options.timeout)
        else:
            cluster = start_cluster(options, max_workers)
            client = Client(cluster)
        client.wait_for_workers(1, timeout=options.timeout)
    except (OSError, TimeoutError, ValueError) as error:
        if cluster is not None:
            cluster.close()
        raise InputError(
            f"the Dask cluster of {where} does not answer ({error}): check dask.yml, or leave out --runner."
        ) from error
    try:
        yield client
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def security(options: DaskOptions) -> Any:
    """The certificates for the connection to a scheduler; None if `dask.yml` names none."""
    from distributed import Security

    files = {name: getattr(options, name) for name in TLS_FILES if getattr(options, name)}
    return Security(require_encryption=True, **files) if files else None


def start_cluster(options: DaskOptions, max_workers: int | None) -> Any:
    """A cluster for this run: of SLURM jobs, or of processes of this machine that other machines cannot reach."""
    from distributed import LocalCluster, Security

    resources = {"GPU": options.gpus} if options.gpus else None
    if options.slurm is not None:
        try:
            from dask_jobqueue import SLURMCluster
        except ImportError:
            raise InputError(
                "dask.yml: 'slurm' needs a package that is not installed: pip install dask-jobqueue."
            ) from None
        extra = ["--resources", f"GPU={options.gpus}"] if options.gpus else []
        cluster = SLURMCluster(**{"worker_extra_args": extra, **options.slurm})
        cluster.scale(jobs=options.workers)
        return cluster
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "error")  # processes read it while they import
    start_server()
    return LocalCluster(
        n_workers=options.workers or max_workers or cores(),
        threads_per_worker=1,
        host="127.0.0.1",
        security=Security.temporary(),
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        memory_limit=0,  # none: Dask would kill a worker at a share of the machine's memory
        resources=resources,
        silence_logs=logging.CRITICAL,
    )
