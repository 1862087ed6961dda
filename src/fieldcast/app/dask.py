"""Kedro's `ParallelRunner` on a Dask cluster: of this machine, or at an address."""

import logging
import os
import pickle
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Annotated, Any

import cloudpickle
from kedro.config import MissingConfigException
from kedro.runner import ParallelRunner
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from fieldcast.app.conf_source import CONTEXT
from fieldcast.arguments import validated
from fieldcast.errors import InputError
from fieldcast.runtime import THREADS, cores

TLS_FILES = ("tls_ca_file", "tls_client_cert", "tls_client_key")


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class DaskOptions:
    """Options of a cluster, in `dask.yml`.

    Parameters
    ----------
    address
        Address of a running scheduler, such as `tls://host:8786`; None starts a cluster of this machine for this run.
    tls_ca_file, tls_client_cert, tls_client_key
        Files for the encrypted connection to the scheduler at `address`.
    workers
        Number of workers that are started; by default the cores of this machine.
    timeout
        Time in which the scheduler must answer and the first worker start [s].
    """

    address: str | None = None
    tls_ca_file: str | None = None
    tls_client_cert: str | None = None
    tls_client_key: str | None = None
    workers: Annotated[int, Field(ge=1)] | None = None
    timeout: Annotated[float, Field(gt=0)] = 60.0


class DaskRunner(ParallelRunner):
    """Runs nodes as tasks of a Dask cluster, as many at a time as it has threads.

    A node whose worker dies runs again on another one, and resumes. Data sets must be on storage that all workers
    share; those in memory reach workers of this machine only.
    """

    def _get_executor(self, max_workers: int) -> Executor:
        return DaskExecutor(dask_options(), max_workers)


class DaskExecutor(Executor):
    """Kedro's tasks as tasks of a Dask cluster, which ends with the run where the run has started it."""

    def __init__(self, options: DaskOptions, max_workers: int) -> None:
        """max_workers: the number of workers that the run can use."""
        self._cluster = connect(options, max_workers)
        self._pool = self._cluster.__enter__().get_executor(pure=False)

    def submit(self, task: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        """Submit a task, which Kedro marks as one for another process only before its own pool.

        The worker gets it as bytes: one that could not read the message of the scheduler would be started again for
        ever. The function that reads them is pickled by value, because it is no function of a module.
        """
        task.parallel = True
        content = cloudpickle.dumps(partial(task, *arguments, **options))

        def run() -> Any:
            try:
                given = pickle.loads(content)
            except ImportError as error:
                refusal: type[Exception] = RuntimeError
                with suppress(ImportError):  # a worker may lack this package, too
                    from fieldcast.errors import InputError as refusal

                raise refusal(
                    f"a Dask worker cannot import what a node needs ({error}): install the packages of this machine "
                    "on all workers, and let PYTHONPATH name the folders of your own modules there."
                ) from error
            return given()

        future: Future[Any] = self._pool.submit(run)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Close the connection, and the cluster if it is this run's."""
        self._pool.shutdown(wait=wait)
        self._cluster.__exit__(None, None, None)


def dask_options() -> DaskOptions:
    """Read `dask.yml` of the environment of the run; without one, the defaults."""
    context = CONTEXT.get()
    try:
        configured: Mapping[str, Any] = context.config_loader["dask"] if context else {}
    except MissingConfigException:
        configured = {}
    options: DaskOptions = validated(DaskOptions, configured, "dask")
    return options


@contextmanager
def connect(options: DaskOptions, max_workers: int) -> Iterator[Any]:
    """A client of the cluster, whose first worker is ready; raises InputError if none is in time."""
    try:
        import dask
        from distributed import Client
    except ImportError:
        raise InputError(
            "DaskRunner needs a package that is not installed: pip install 'fieldcast[dask]'."
        ) from None
    dask.config.set({"logging": {"distributed": "error"}})  # the run reports what has failed
    cluster = None
    try:
        if options.address:
            client = Client(options.address, security=security(options), timeout=options.timeout)
        else:
            cluster = start_cluster(options.workers or min(max_workers, cores()))
            client = Client(cluster)
        client.wait_for_workers(1, timeout=options.timeout)
    except (OSError, TimeoutError, ValueError) as error:
        if cluster is not None:
            cluster.close()
        raise InputError(
            f"the Dask cluster of {options.address or 'this machine'} does not answer ({error}): check dask.yml, or "
            "leave out --runner."
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


def start_cluster(workers: int) -> Any:
    """A cluster of processes of this machine, that other machines cannot reach."""
    from distributed import LocalCluster, Security

    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "error")  # processes read it while they import
    os.environ.setdefault(THREADS, str(max(1, cores() // workers)))
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        host="127.0.0.1",
        security=Security.temporary(),
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        memory_limit=0,  # none: Dask would kill a worker at a share of the machine's memory
        silence_logs=logging.CRITICAL,
    )
