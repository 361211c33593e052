"""Every kind of value comes back as it was; everything else is refused with its path."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import math
import sys
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from fox_hpc import FLModel, register
from fox_hpc.errors import CodecError
from fox_hpc.wire import codec


def there_and_back(value: Any) -> Any:
    """As over a wire: each frame arrives in memory of its own."""
    return codec.decode([bytearray(frame) for frame in codec.encode(value)])


def address(buffer: Any) -> int:
    return int(np.frombuffer(buffer, np.uint8).__array_interface__["data"][0])


@register
@dataclass
class Inner:
    weights: Any
    name: str = ""


@register
@dataclass(frozen=True)
class Outer:
    inner: Inner
    many: list[Inner] = field(default_factory=list)
    made: int = field(default=0, init=False)


@dataclass
class Unknown:
    x: int = 0


class Point(NamedTuple):
    x: int
    y: int


class Colour(enum.IntEnum):
    RED = 1


class Shade(str):
    pass


UTC5 = datetime.timezone(datetime.timedelta(hours=5, minutes=30))

PLAIN = [
    None, True, False, 0, -1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**5000, -(10**400),
    0.0, -0.0, 1e308, math.inf, -math.inf, 1 + 2j, complex(math.inf, -0.0),
    "", "é" * 300, "\0", b"", b"abc", bytes(5000), bytearray(b"x"), bytearray(5000),
    [], (), {}, set(), frozenset(), [1, [2, [3, ()]]], (1,), ((),), {"a": {"b": [None]}}, {"": 1},
    {1: 2}, {None: 1, "a": 2, 1.5: 3, (1, "x"): [4], b"k": 5, True: 6}, {frozenset({1}): 0},
    {1, 2.5, "x", None, (1, 2)}, frozenset({frozenset({1}), b"y"}), list(range(100_000)),
    datetime.datetime(2024, 2, 29, 12, 30, 1, 5), datetime.datetime(2024, 1, 1, tzinfo=UTC5),
    datetime.datetime.min, datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_plain_value_comes_back_with_its_types(value: Any) -> None:
    back = there_and_back(value)

    assert back == value
    assert type(back) is type(value)
    assert shape_of(back) == shape_of(value)


def shape_of(value: Any) -> Any:
    """The types inside, which == does not compare."""
    if isinstance(value, dict):
        return [(shape_of(key), shape_of(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [type(value), *(shape_of(item) for item in value)]
    return sorted(map(repr, map(shape_of, value))) if isinstance(value, set | frozenset) else type(value)


def test_nan_and_negative_zero_come_back() -> None:
    nan, zero, pair = there_and_back([math.nan, -0.0, complex(math.nan, -0.0)])

    assert (math.isnan(nan), math.copysign(1, zero), math.isnan(pair.real)) == (True, -1.0, True)
    assert math.copysign(1, pair.imag) == -1.0


def test_time_zone_comes_back_as_its_offset() -> None:
    summer = datetime.datetime(2024, 7, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    back = there_and_back(summer)

    assert (back, back.utcoffset()) == (summer, datetime.timedelta(hours=2))


def test_memoryviews_arrive_as_bytes() -> None:
    wide = memoryview(np.arange(2000.0)).cast("B").cast("d")
    sliced = memoryview(bytes(range(256)) * 64)[::2]

    assert there_and_back([wide, sliced, wide[:2]]) == [wide.tobytes(), sliced.tobytes(), wide[:2].tobytes()]


def test_subclass_of_dict_arrives_as_dict() -> None:
    back = there_and_back([collections.OrderedDict(a=1), collections.Counter("aab"), np.str_("x")])

    assert [type(item) for item in back] == [dict, dict, np.str_]


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        (object(), "$", "object cannot travel"),
        ({"a": [1, {"b": (0, Point(1, 2))}]}, "$.a[1].b[1]", "Point"),
        ([Colour.RED], "$[0]", "Colour"),
        ({"a": Shade("x")}, "$.a", "Shade"),
        ({Shade("k"): 1}, "$['k']", "Shade"),
        ({"s": {1: {2: decimal.Decimal(1)}}}, "$.s[1][2]", "Decimal"),
        ({"d": Unknown()}, "$.d", r"not registered: decorate it with @fox_hpc.register"),
        (FLModel(params={"w": [lambda: 0]}), "$.params.w[0]", "function"),
        (Outer(Inner(np.array([object()]))), "$.inner.weights", "dtype object"),
        (np.zeros(2, "i4,f8"), "$", "dtype"),
        (np.ma.masked_array([1.0], [True]), "$", "would lose its class"),
        (np.zeros((1, 1)).view(np.matrix), "$", "would lose its class"),
        (np.zeros((), "V3")[()], "$", "dtype"),
        (datetime.date(2024, 1, 1), "$", "datetime.date "),
        ("\ud800", "$", "not Unicode"),
        (range(3), "$", "range"),
        ((1).__class__, "$", "type"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_value_that_cannot_travel_is_refused_with_its_path(value: Any, path: str, words: str) -> None:
    with pytest.raises(CodecError, match=words) as caught:
        codec.encode(value)

    assert caught.value.path == path


def test_value_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append({"again": endless})
    with pytest.raises(CodecError, match="contain itself"):
        codec.encode(endless)


def test_nesting_is_good_to_the_limit_at_both_ends() -> None:
    value: Any = 1
    for _ in range(codec.MAX_DEPTH + 1):
        value = [value]

    assert there_and_back(value) == value
    with pytest.raises(CodecError, match="deeper"):
        codec.encode([value])


def test_code_of_others_that_raises_while_it_is_read_is_a_codec_error() -> None:
    class Angry(dict[str, int]):
        def items(self) -> Any:
            raise ZeroDivisionError("no")

    with pytest.raises(CodecError, match="ZeroDivisionError"):
        codec.encode(Angry(a=1))
    lacking = Inner(1)
    del lacking.weights
    with pytest.raises(CodecError, match="weights"):
        codec.encode(lacking)


def test_dataclasses_come_back_nested() -> None:
    value = Outer(Inner(np.arange(3)), [Inner(None, "a"), Inner({"x": (1,)})])
    back = there_and_back(value)

    assert isinstance(back, Outer)
    assert np.array_equal(back.inner.weights, [0, 1, 2])
    assert (back.many, back.made) == (value.many, 0)


def test_model_comes_back() -> None:
    model = FLModel({"w": np.ones(2)}, metrics={"acc": np.float32(0.5)}, current_round=3, extra={"k": {1, 2}})
    back = there_and_back(model)

    assert (back.metrics, back.current_round, back.extra, back.meta) == ({"acc": 0.5}, 3, {"k": {1, 2}}, {})


def test_register_takes_dataclasses_with_names_that_are_free() -> None:
    with pytest.raises(CodecError, match="takes a dataclass"):
        register(Colour)
    with pytest.raises(CodecError, match=r"FLModel is taken by fox_hpc\.model\.FLModel"):
        register(Unknown, "FLModel")


NUMPY = [
    np.arange(6.0).reshape(2, 3), np.arange(24).reshape(2, 3, 4)[:, ::2], np.arange(10)[::-1],
    np.asfortranarray(np.arange(6).reshape(2, 3)), np.arange(6).reshape(2, 3).T, np.array(5.0), np.array([]),
    np.empty((0, 3), ">i8"), np.empty((2, 0, 2), bool), np.array(["ab", "é"]), np.array([b"x", b"yz"]),
    np.array(["", ""]), np.zeros(0, "U7"), np.arange(3, dtype=">f8"), np.arange(3, dtype=">c16"),
    np.array(["2024-01-01", "NaT"], "M8[us]"), np.array([1, 2], "m8[h]"), np.float16([1, 2]),
    np.longdouble([1, 2]), np.complex64([1j]), np.array([True, False]), np.uint8(range(256)),
    np.broadcast_to(np.arange(3), (2, 3)), np.arange(9.0)[::3][1:2], np.array(3.0)[None, None],
]  # fmt: skip


@pytest.mark.parametrize("array", NUMPY, ids=lambda array: f"{array.dtype.str}-{array.shape}")
def test_numpy_array_comes_back(array: Any) -> None:
    back = there_and_back(array)

    assert (back.dtype.str, back.shape) == (array.dtype.str, array.shape)
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable
    assert back.flags.aligned
    assert back.flags.c_contiguous


@pytest.mark.parametrize(
    "scalar",
    [
        np.float32(1.5), np.float64(2), np.int8(-3), np.bool_(True), np.complex128(1j), np.str_("héé"),
        np.bytes_(b"ab"), np.datetime64("2024-01-01", "s"), np.timedelta64(3, "D"), np.longdouble(1),
        np.str_(""), np.bytes_(b""), np.float16(1), np.uint64(2**64 - 1),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_numpy_scalar_comes_back_within_the_header(scalar: Any) -> None:
    back = there_and_back({"x": scalar})["x"]

    assert (type(back), back, len(codec.encode(scalar))) == (type(scalar), scalar, 1)


def test_contiguous_arrays_are_not_copied() -> None:
    array, text = np.arange(1000.0).reshape(10, 100), bytes(10_000)
    frames = codec.encode({"a": array, "v": array[2:4], "b": text})

    assert address(frames[1]) == array.__array_interface__["data"][0]
    assert address(frames[2]) == array[2:4].__array_interface__["data"][0]
    assert address(frames[3]) == address(text)
    received = [bytearray(frame) for frame in frames]
    back = codec.decode(received)

    assert back["a"].__array_interface__["data"][0] == address(received[1])


@pytest.mark.parametrize("shift", [0, 1, 4])
def test_arrays_are_writable_and_aligned_wherever_their_frames_lie(shift: int) -> None:
    frames = codec.encode([np.arange(8.0)])
    for make in (bytes, bytearray):
        data = memoryview(make(shift) + bytes(frames[1]))[shift:]
        (back,) = codec.decode([frames[0], data])

        assert (back.flags.writeable, back.flags.aligned, back.tolist()) == (True, True, list(range(8)))


def test_aliases_travel_once_and_stay_aliases() -> None:
    array = np.arange(1000.0)
    frames = codec.encode([array, {"again": array}, array[:]])
    back = codec.decode([bytearray(frame) for frame in frames])

    assert len(frames) == 2
    assert back[0] is back[1]["again"] is back[2]


def test_views_of_one_storage_that_differ_stay_apart() -> None:
    base = np.arange(16.0)
    views = [base, base[:8], base[1:9], base[::2], base.reshape(4, 4), base.reshape(4, 4).T, base.view("i8")]
    back = there_and_back(views)

    assert [item.tobytes() for item in back] == [view.tobytes() for view in views]
    assert len({id(item) for item in back}) == len(views)


def test_arrays_that_live_only_while_they_are_read_are_not_taken_for_each_other() -> None:
    class Fresh(dict[str, Any]):
        def items(self) -> Any:
            return ((str(i), np.full((64, 64), i).T) for i in range(50))

    back = there_and_back(Fresh(x=1))

    assert [int(back[str(i)][0, 0]) for i in range(50)] == list(range(50))


def test_small_value_makes_one_frame() -> None:
    value = {"head": ["train", "server", "all"], "args": [1, 2.5], "kwargs": {"m": np.float32(1)}}

    assert len(codec.encode(value)) == 1


def test_codec_loads_neither_numpy_nor_torch() -> None:
    assert "numpy" in sys.modules  # this file did; what the wing loads is the house's test
    assert not [name for name in vars(codec) if name in ("numpy", "torch")]
