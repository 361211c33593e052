"""Torch tensors: every dense dtype, every layout in memory, aliases, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fox_hpc.errors import CodecError
from fox_hpc.wire import codec

torch = pytest.importorskip("torch")

DTYPES = [
    name
    for group in (
        ("float64", "float32", "float16", "bfloat16", "complex32", "complex64", "complex128", "bool"),
        ("uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"),
        ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
    )
    for name in group
    if hasattr(torch, name)
]


def there_and_back(value: Any) -> Any:
    return codec.decode([bytearray(frame) for frame in codec.encode(value)])


def same(one: Any, other: Any) -> bool:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return raw(one) == raw(other)


def raw(tensor: Any) -> bytes:
    plain = torch.empty(tensor.shape, dtype=tensor.dtype)
    plain.copy_(tensor.detach())
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.filterwarnings("ignore:ComplexHalf")
def test_tensor_of_every_dtype_comes_back(name: str) -> None:
    dtype = getattr(torch, name)
    raw = torch.arange(24 * dtype.itemsize, dtype=torch.uint8) % (2 if dtype == torch.bool else 251)
    tensor = raw.view(dtype).reshape(4, 6)
    for sent in (tensor, tensor[1, 1], tensor[:0], tensor[:, ::2], tensor.T):
        back = there_and_back(sent)

        assert same(sent, back)
        assert back.is_contiguous()


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.tensor(3.0), lambda: torch.empty(0), lambda: torch.empty(2, 0, 3),
        lambda: torch.arange(6.0).expand(3, 6), lambda: torch.arange(6.0).reshape(2, 3).t(),
        lambda: torch.arange(8.0)[2:5], lambda: torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        lambda: torch.nn.Parameter(torch.ones(3)), lambda: torch.ones(2, requires_grad=True) * 2,
        lambda: torch.tensor([1 + 2j]).conj(), lambda: torch.tensor([1 + 2j]).conj().imag,
        lambda: torch.arange(6.0).reshape(2, 3)[:1, 1:2].t(), lambda: torch.arange(9)[::3][1:2],
        lambda: torch.flip(torch.arange(4), [0]), lambda: torch.tensor(1.0).expand(0),
    ],
)  # fmt: skip
def test_tensor_comes_back_whatever_its_memory(make: Any) -> None:
    tensor = make()
    back = there_and_back({"t": tensor})["t"]

    assert same(tensor, back)
    assert (type(back), back.requires_grad, back.is_conj(), back.is_neg()) == (
        torch.Tensor,
        False,
        False,
        False,
    )


def test_contiguous_tensor_is_not_copied() -> None:
    tensor = torch.arange(1000.0)
    frames = codec.encode([tensor, tensor[10:20]])
    received = [bytearray(frame) for frame in frames]
    addresses = [np.frombuffer(frame, np.uint8).__array_interface__["data"][0] for frame in frames[1:]]

    assert addresses == [tensor.data_ptr(), tensor[10:20].data_ptr()]
    back = codec.decode(received)

    assert back[0].data_ptr() == np.frombuffer(received[1], np.uint8).__array_interface__["data"][0]
    back[0][0] = 7.0
    assert np.frombuffer(received[1], np.float32)[0] == 7.0


def test_tensor_that_is_decoded_within_inference_mode_can_be_trained() -> None:
    with torch.inference_mode():
        back = codec.decode([bytearray(frame) for frame in codec.encode(torch.arange(4.0))])

    (back.requires_grad_() * 2).sum().backward()
    assert back.grad is not None


def test_tied_weights_travel_once_and_stay_tied() -> None:
    weight = torch.nn.Parameter(torch.randn(50, 20))
    frames = codec.encode({"encoder": weight, "decoder": weight.data, "part": weight[:10]})
    back = codec.decode([bytearray(frame) for frame in frames])

    assert len(frames) == 3
    assert back["encoder"] is back["decoder"]
    assert same(weight[:10], back["part"])


def test_views_of_one_storage_that_differ_stay_apart() -> None:
    base = torch.arange(16.0)
    z = torch.tensor([1 + 2j, 3 - 4j])
    views = [base, base[:8], base[1:9], base.reshape(4, 4), base.reshape(4, 4).T, base.view(torch.int32)]
    views += [z, z.conj(), z.conj().imag, z.imag]
    back = there_and_back(views)

    assert all(same(view, item) for view, item in zip(views, back, strict=True))


def test_numpy_view_of_a_tensor_stays_numpy() -> None:
    tensor = torch.arange(4.0)
    back = there_and_back([tensor, tensor.numpy()])

    assert [type(item) for item in back] == [torch.Tensor, np.ndarray]


def test_size_travels_as_a_tuple() -> None:
    assert there_and_back([torch.Size([2, 3])]) == [(2, 3)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: torch.eye(3).to_sparse(), "sparse"),
        (lambda: torch.eye(3).to_sparse_csr(), "sparse"),
        (lambda: torch.empty(3, device="meta"), "meta"),
        (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "quantized"),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "no bytes"),
    ],
    ids=["coo", "csr", "meta", "quantized", "nested"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensor_without_plain_bytes_is_refused_with_its_path(make: Any, words: str) -> None:
    with pytest.raises(CodecError, match=words) as caught:
        codec.encode({"state": [make()]})

    assert caught.value.path == "$.state[0]"
