"""The kinds of value that a header's arrays begin with; numbers are for ever, new ones go last."""

from enum import IntEnum


class Tag(IntEnum):
    """What the rest of `[tag, …]` means."""

    LIST = 0  # items
    TUPLE = 1  # items
    SET = 2  # items
    FROZENSET = 3  # items
    PAIRS = 4  # [[key, value], …]: a dict with keys that are not all text
    BIGINT = 5  # hexadecimal digits, perhaps after "-": an int beyond 64 bits
    COMPLEX = 6  # real, imag
    DATETIME = 7  # ISO 8601
    BYTES = 8  # bytes, or the number of a frame
    BYTEARRAY = 9  # the same
    DATACLASS = 10  # registered name, {field: value}
    NDARRAY = 11  # frame, numpy dtype string, shape
    NUMPY_SCALAR = 12  # bytes, numpy dtype string
    TENSOR = 13  # frame, torch dtype name, shape
