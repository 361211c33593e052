"""Weighted averages."""

from __future__ import annotations

import numpy as np
import pytest

from fox_hpc import weighted_average


def test_weights_count() -> None:
    average = weighted_average([({"w": np.array([0.0, 2.0])}, 1), ({"w": np.array([4.0, 2.0])}, 3)])

    assert average["w"].tolist() == [3.0, 2.0]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "int64", "uint8"])
def test_dtype_and_shape_are_kept(dtype: str) -> None:
    arrays = [np.ones((2, 3), dtype), np.ones((2, 3), dtype)]
    average = weighted_average([({"w": array}, 1) for array in arrays])["w"]

    assert (average.dtype, average.shape, average.tolist()) == (arrays[0].dtype, (2, 3), arrays[0].tolist())


def test_whole_numbers_are_rounded() -> None:
    assert weighted_average([({"n": np.array(1)}, 1), ({"n": np.array(2)}, 3)])["n"] == 2


def test_each_step_is_computed_in_double_precision() -> None:
    parts = [np.float32(0.1), np.float32(0.7)]
    average = weighted_average([({"w": np.array([part])}, 1) for part in parts])["w"]

    assert average[0] == np.float32((float(parts[0]) + float(parts[1])) / 2)


def test_inputs_stay_as_they_are() -> None:
    array = np.ones(2)
    weighted_average([({"w": array}, 1), ({"w": array * 3}, 1)])

    assert array.tolist() == [1, 1]


def test_tensors_of_every_kind_are_averaged() -> None:
    torch = pytest.importorskip("torch")
    one = {"w": torch.tensor([1.0], dtype=torch.bfloat16), "n": torch.tensor(3), "s": torch.tensor(2.0)}
    two = {"w": torch.tensor([2.0], dtype=torch.bfloat16), "n": torch.tensor(5), "s": torch.tensor(4.0)}
    average = weighted_average([(one, 1), (two, 1)])

    assert {name: (value.dtype, value.tolist()) for name, value in average.items()} == {
        "w": (torch.bfloat16, [1.5]),
        "n": (torch.int64, 4),
        "s": (torch.float32, 3.0),
    }


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ([], "nothing to average"),
        ([({"w": np.ones(1)}, 0)], "one must be above 0"),
        (
            [({"w": np.ones(1)}, 2), ({"w": np.ones(1)}, -1)],
            "update 2 has the weight -1.0: 0 or a positive number",
        ),
        ([({"w": np.ones(1)}, 1), ({"v": np.ones(1)}, 1)], "only one of them has 'w', 'v'"),
        ([({"w": np.ones(1)}, 1), ({"w": np.ones(2)}, 1)], r"update 1 and update 2 differ at \$\['w'\]"),
    ],
)
def test_wrong_updates_are_refused(updates: list[tuple[dict[str, np.ndarray], float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        weighted_average(updates)
