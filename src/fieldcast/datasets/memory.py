"""The memory that this process may still take: of the machine, of its control group, and under its own limits."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

UNLIMITED = 2**60  # control groups without a limit give a huge number


def available() -> int:
    """Bytes that this process may still take: the least of the limits that the system reports."""
    return max(0, min(_available()))


def _available() -> Iterator[int]:
    yield _status(
        Path("/proc/meminfo"), "MemAvailable", os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    )
    for limit, used in _control_groups():
        yield limit - used
    for kind, name in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            yield limit - _status(Path("/proc/self/status"), name, 0)


def _status(path: Path, name: str, otherwise: int) -> int:
    """A line of kilobytes in a file of the kernel, in bytes."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return otherwise
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), otherwise)


def _control_groups() -> Iterator[tuple[int, int]]:
    """Limit and use of the memory of this process's control groups, of version 1 or 2."""
    root = Path("/sys/fs/cgroup")
    for folder, limit, used in (
        (root, "memory.max", "memory.current"),
        (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
            group = next(group[2] for group in groups if group[1] == ("memory" if folder != root else ""))
        except (OSError, StopIteration):
            continue
        for directory in (folder, folder / group.lstrip("/")):  # the first is that of a container
            try:
                size, in_use = int((directory / limit).read_text()), int((directory / used).read_text())
            except (OSError, ValueError):  # "max": no limit
                continue
            if size < UNLIMITED:
                yield size, in_use
