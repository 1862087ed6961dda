"""Training in several processes on this machine: the ranks train, and this process saves what the first one sends.

The processes find each other by a file in a temporary folder, and exchange gradients through the loopback interface
(gloo) or between GPUs (nccl). Without GPUs all ranks share the states in memory. A rank that is killed, or that fails,
ends the training; no rank outlives this process.
"""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from logging.handlers import QueueHandler
from multiprocessing import set_start_method
from multiprocessing.connection import Connection, wait
from pathlib import Path
from queue import Queue
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from fieldcast.encoding import checkpoint
from fieldcast.encoding.tensor_file import unpack_state
from fieldcast.errors import InputError
from fieldcast.models.replicas import move_to
from fieldcast.runtime import CONTEXT, end_with_parent, portable, start_server
from fieldcast.training.batches import Batches
from fieldcast.training.options import Fit
from fieldcast.training.ranks import Ranks
from fieldcast.training.steps import Report, train_until_due
from fieldcast.training.training_state import Training

RANK_TIMEOUT = timedelta(hours=2)  # time that a rank may wait for another one, whose state is being saved
REPORT_EVERY = 0.5  # seconds between two reports of progress
DEATH_NOTICE = 1.0  # seconds to wait for a dead rank to be noticed after another rank failed


@dataclass(frozen=True)
class Job:
    """Options and initial state of a training, which all ranks receive besides the data.

    Parameters
    ----------
    model
        The model and its closed-form parts, pickled; pickle is safe between processes of one run.
    state
        State from which the ranks start, as bytes.
    options, seed
        As in `Training`.
    device
        Type of the devices.
    threads
        Threads of each rank.
    rendezvous
        File in which the ranks find each other.
    """

    model: bytes
    state: bytes
    options: Fit
    seed: int
    device: str
    threads: int
    rendezvous: str


def train_ranks_until_due(
    run: Training, training: Batches, validation: Batches, report: Report, count: int
) -> Iterator[None]:
    """Train in `count` processes; yield whenever the state, which is then in `run`, is due to be saved."""
    device = run.parameters[0].device.type
    require_shared_memory(training, validation)
    training, validation = (move_to(batches, torch.device("cpu")) for batches in (training, validation))
    start_server()
    processes, pipes = [], []
    with tempfile.TemporaryDirectory(prefix="fieldcast-") as folder:
        job = Job(
            pickle.dumps((run.model, run.parts)), run.state({}), run.options, run.seed, device,
            max(1, torch.get_num_threads() // count), f"{folder}/ranks",
        )  # fmt: skip
        try:
            for number in range(count):
                receiver, sender = CONTEXT.Pipe(duplex=False)
                arguments = (number, count, job, training, validation, sender)
                processes.append(CONTEXT.Process(target=serve, args=arguments, name=f"rank {number}"))
                pipes.append(receiver)
                processes[-1].start()
                sender.close()
            for kind, content in messages(processes, pipes):
                if kind == "progress":
                    report(*content)
                elif kind == "log":
                    logging.getLogger(content.name).handle(content)
                else:
                    run.resume(*unpack_state(content, "The state of a rank"))
                    yield
                if run.finished:
                    return
        finally:
            for process in processes:
                if process.pid is not None:
                    process.kill()
                    process.join()


def messages(processes: Sequence[Any], pipes: Sequence[Connection]) -> Iterator[tuple[str, Any]]:
    """Yield the messages of the ranks; raise the error of a rank that fails, or an InputError if a rank is killed."""
    while True:
        for pipe in wait(pipes):
            assert isinstance(pipe, Connection)
            try:
                kind, content = pipe.recv()
            except (EOFError, ConnectionError):
                raise rank_killed(processes) from None
            if kind == "failed":
                if not isinstance(content, InputError) and wait(
                    [p.sentinel for p in processes], DEATH_NOTICE
                ):
                    raise rank_killed(processes)  # the other ranks fail because they wait for it
                raise content
            yield kind, content


def rank_killed(processes: Sequence[Any]) -> InputError:
    """The error for a rank that was killed; ranks never end by themselves."""
    sentinels = wait([process.sentinel for process in processes], DEATH_NOTICE)
    dead = next((process for process in processes if process.sentinel in sentinels), processes[0])
    dead.join(DEATH_NOTICE)
    return InputError(
        f"{dead.name} of the {len(processes)} ranks of the training was killed (exit code {dead.exitcode}), perhaps "
        "for lack of memory: run the same command again to resume from the last save, with a smaller fit.ranks if it "
        "happens again."
    )


def serve(
    number: int, count: int, job: Job, training: Batches, validation: Batches, pipe: Connection
) -> None:
    """Train as one of several ranks (the body of a process)."""
    end_with_parent()
    set_start_method("fork", force=True)  # so that a kill leaves no named semaphores of libraries behind
    try:
        train_rank(number, count, job, training, validation, pipe)
    except BaseException as error:
        pipe.send(("failed", from_rank(error)))
    threading.Event().wait()  # wait to be killed: the other ranks would fail if this one ended


def train_rank(
    number: int, count: int, job: Job, training: Batches, validation: Batches, pipe: Connection
) -> None:
    """Join the other ranks and train; the first rank sends its log, its progress and the states to save."""
    lock, last = threading.Lock(), -REPORT_EVERY

    def send(kind: str, content: Any) -> None:
        if number == 0:
            with lock:
                pipe.send((kind, content))

    def report(step: int, score: float | None) -> None:
        nonlocal last
        if score is not None or time.monotonic() - last >= REPORT_EVERY:
            last = time.monotonic()
            send("progress", (step, score))

    logging.getLogger().handlers = [RelayHandler(send)]
    torch.set_num_threads(job.threads)
    device = join(number, count, job)
    checkpoint.reset_peak(device)
    model, parts = pickle.loads(job.model)
    run = Training(model.to(device), job.options, job.seed, parts)
    run.resume(*unpack_state(job.state, "The state of this training"))
    training, validation = (move_to(batches, device) for batches in (training, validation))
    for _ in train_until_due(run, training, validation, report, Ranks(number, count, device)):
        if number == 0:
            send("state", run.state({}))


class RelayHandler(QueueHandler):
    """A handler of logs that sends each record to another process."""

    def __init__(self, send: Callable[[str, Any], None]) -> None:
        super().__init__(Queue())
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        self._send("log", record)


def join(number: int, count: int, job: Job) -> torch.device:
    """Join the group of ranks, over the loopback interface only; return the device of this rank."""
    loopback = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), None)
    if loopback:
        os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = loopback
    device = torch.device("cuda", number) if job.device == "cuda" else torch.device(job.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo", store=dist.FileStore(job.rendezvous, count), rank=number,
        world_size=count, timeout=RANK_TIMEOUT,
    )  # fmt: skip
    return device


def from_rank(error: BaseException) -> BaseException:
    """A copy of an error for another process, with the traceback of the rank unless it is an InputError."""
    copy = portable(error)
    if not isinstance(error, InputError):
        copy.add_note("\nin a rank:\n" + "".join(traceback.format_exception(error)))
    return copy


# Training data that the ranks share: tensors that are sent to another process move to shared memory.


T = TypeVar("T")
SHARED_MEMORY = Path("/dev/shm")  # absent on systems other than Linux


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of a dataclass, also of nested ones."""
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from tensors_of(getattr(value, field.name))


def require_shared_memory(*batches: Batches) -> None:
    """Raise an InputError if the states do not fit into the shared memory of the system, where writing would crash."""
    if not SHARED_MEMORY.exists():
        return
    needed = sum(x.nbytes for part in batches for x in tensors_of(part) if not x.is_shared())
    free = shutil.disk_usage(SHARED_MEMORY).free
    if needed > free:
        raise InputError(
            f"the states of this training take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in "
            f"{SHARED_MEMORY}, through which ranks share them: set fit.data to stream, fit.ranks to 1, or enlarge it."
        )
