"""How long a NetCDF file of the classic formats must be by its own header: CDF-1, CDF-2 (64-bit offset), CDF-5.

The C library reads zeros beyond the end of such a file. Layout: the NetCDF User Guide's "file format specifications";
CDF-5 has counts, lengths and sizes of eight bytes where the others have four. All numbers are big-endian.

    header = magic  number of records  dimensions  attributes  variables
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO, NamedTuple

# of one value, by number of type
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}


class Variable(NamedTuple):
    """Where a variable begins, and what it holds; `size` in bytes, of each record if it has the record dimension."""

    begin: int
    size: int
    of_records: bool


class Header:
    """Reads the parts of a header one after the other.

    Raises ValueError where the header ends too early or makes no sense.
    """

    def __init__(self, file: BinaryIO):
        self.file = file
        magic = self._take(4)
        if magic[:3] != b"CDF" or magic[3] not in (1, 2, 5):
            raise ValueError("it has no header of NetCDF 3")
        self.count_bytes = 8 if magic[3] == 5 else 4
        self.offset_bytes = 4 if magic[3] == 1 else 8
        self.records = self._count()
        if self.records == 256**self.count_bytes - 1:  # "streaming": the writer did not say how many
            self.records = 0

    def variables(self) -> list[Variable]:
        """All variables, in their order."""
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
        """The length of a list, after its tag."""
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
        self._count()  # the size as the header has it, which is cut off for variables of 4 GiB and more
        of_records = bool(shape) and shape[0] == 0  # the record dimension has the length 0
        return Variable(
            self._number(self.offset_bytes), size * math.prod(shape[1:] if of_records else shape), of_records
        )


def expected_size(path: str | Path) -> int:
    """The fewest bytes that a file with this header has.

    Records of all variables take turns, each variable's part padded to four bytes; of a single variable it is not.

    Raises ValueError where the header itself is not whole.
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
    """Up to a multiple of four."""
    return -(-size // 4) * 4
