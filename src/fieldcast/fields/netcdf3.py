"""Compute the length of a classic NetCDF file from its header: CDF-1, CDF-2 (64-bit offset), CDF-5.

The C library reads zeros beyond the end of a truncated file. Layout: the NetCDF User Guide's "file format
specifications"; counts, lengths and sizes have eight bytes in CDF-5 and four in the others. All numbers are big-endian.

    header = magic  number of records  dimensions  attributes  variables
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO, NamedTuple

# bytes per value, by type number
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}


class Variable(NamedTuple):
    """Extent of a variable: where it begins and its `size` in bytes (per record, if it has the record dimension)."""

    begin: int
    size: int
    of_records: bool


class Header:
    """Sequential reader of a header.

    Raises
    ------
    ValueError
        For a header that is truncated or invalid.
    """

    def __init__(self, file: BinaryIO):
        self.file = file
        magic = self._take(4)
        if magic[:3] != b"CDF" or magic[3] not in (1, 2, 5):
            raise ValueError("it has no header of NetCDF 3")
        self.count_bytes = 8 if magic[3] == 5 else 4
        self.offset_bytes = 4 if magic[3] == 1 else 8
        self.records = self._count()
        if self.records == 256**self.count_bytes - 1:  # "streaming": the writer did not record the number
            self.records = 0

    def variables(self) -> list[Variable]:
        """All variables, in order."""
        dimensions = [self._dimension() for _ in range(self._entries())]
        self._skip_attributes()
        return [self._variable(dimensions) for _ in range(self._entries())]

    def _take(self, size: int) -> bytes:
        data = self.file.read(size)
        if len(data) < size:
            raise ValueError("it ends too early")
        return data

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def _count(self) -> int:
        return self._number(self.count_bytes)

    def _entries(self) -> int:
        """Length of a list, after its tag."""
        self._number(4)
        return self._count()

    def _skip_padded(self, size: int) -> None:
        self._take(_padded(size))

    def _dimension(self) -> int:
        self._skip_padded(self._count())  # its name
        return self._count()

    def _skip_attributes(self) -> None:
        for _ in range(self._entries()):
            self._skip_padded(self._count())  # its name
            size = self._type_bytes()
            self._skip_padded(size * self._count())

    def _type_bytes(self) -> int:
        number = self._number(4)
        if number not in _BYTES:
            raise ValueError("its header is damaged")
        return _BYTES[number]

    def _variable(self, dimensions: list[int]) -> Variable:
        self._skip_padded(self._count())  # its name
        numbers = [self._count() for _ in range(self._count())]
        if any(number >= len(dimensions) for number in numbers):
            raise ValueError("its header is damaged")
        shape = [dimensions[number] for number in numbers]
        self._skip_attributes()
        size = self._type_bytes()
        self._count()  # the size in the header, which is truncated for variables of 4 GiB and more
        of_records = bool(shape) and shape[0] == 0  # the record dimension has the length 0
        return Variable(
            self._number(self.offset_bytes), size * math.prod(shape[1:] if of_records else shape), of_records
        )


def expected_size(path: str | Path) -> int:
    """Minimum number of bytes of a file with this header.

    Records interleave the record variables, each padded to four bytes; a single record variable is not padded.

    Raises
    ------
    ValueError
        For a header that is truncated or invalid.
    """
    with open(path, "rb") as file:
        header = Header(file)
        variables = header.variables()
        end = file.tell()
    parts = [v.size for v in variables if v.of_records]
    record = sum(_padded(size) for size in parts) if len(parts) > 1 else sum(parts)
    for v in variables:
        if not v.of_records:
            end = max(end, v.begin + v.size)
        elif header.records:
            end = max(end, v.begin + (header.records - 1) * record + v.size)
    return end


def _padded(size: int) -> int:
    """Size rounded up to a multiple of four."""
    return -(-size // 4) * 4
