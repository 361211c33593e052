"""What several ranks check among themselves; each writes down what it found, which the test reads.

Run by mpirun as `python ranks_together.py FOLDER`, else with `torch RANK WORLD_SIZE PORT` behind that.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from fox_hpc import CodecError, FoxError, RankGroup, RecipeError, broadcast_state_dict, gather_state_dict

CHECKS: dict[str, Callable[[RankGroup], Any]] = {}
Check = Callable[[RankGroup], Any]


def check(func: Check) -> Check:
    CHECKS[func.__name__] = func
    return func


@check
def values_are_broadcast(group: RankGroup) -> Any:
    value = {"a": [1, 2.5, "x"], "b": numpy.arange(5), 3: None}
    got = group.broadcast(value if group.rank == 1 else "not looked at", src=1)
    got["b"] += 1  # writable everywhere
    return [got["a"], got["b"].tolist(), got[3]]


@check
def values_are_gathered_in_the_order_of_ranks(group: RankGroup) -> Any:
    got = group.gather({"rank": group.rank, "w": numpy.full(3, group.rank)}, dst=1)
    return None if got is None else [[one["rank"], one["w"].tolist()] for one in got]


@check
def what_cannot_travel_hangs_nobody(group: RankGroup) -> Any:
    said = []
    for share in (group.broadcast, group.gather):
        try:
            share(object() if group.rank == (share == group.gather) else 1)
        except (CodecError, FoxError) as error:
            said.append(type(error).__name__)
    group.barrier()
    return said


@check
def arrays_of_every_kind_are_kept(group: RankGroup) -> Any:
    given = {
        "f": numpy.arange(6.0).reshape(2, 3).T,
        "f16": numpy.ones(3, numpy.float16),
        "bool": numpy.array([True, False]),
        "scalar": numpy.array(7),
        "empty": numpy.zeros((0, 4), numpy.int16),
        "big": numpy.arange(1000, dtype=">i8"),
    }
    got = broadcast_state_dict(given if group.rank == 0 else None, bucket_bytes=100)
    alike = all(
        one.dtype == got[name].dtype and one.shape == got[name].shape and bool((one == got[name]).all())
        for name, one in given.items()
    )
    return [list(got), alike]


def torch_checks() -> None:
    import torch

    @check
    def tensors_of_every_kind_are_kept(group: RankGroup) -> Any:
        torch.manual_seed(0)
        given = {
            "f32": torch.rand(40, 30).T,
            "bf16": torch.rand(7).bfloat16(),
            "f8": torch.rand(5).to(torch.float8_e4m3fn),
            "bool": torch.tensor([True, False, True]),
            "i8": torch.arange(9, dtype=torch.int8),
            "u16": torch.tensor([1, 65535], dtype=torch.uint16),
            "c64": torch.rand(3, dtype=torch.complex64).conj(),
            "scalar": torch.tensor(3.5, dtype=torch.float64),
            "empty": torch.empty(0, 3),
            "parameter": torch.nn.Parameter(torch.rand(2, 2)),
        }
        got = broadcast_state_dict(given if group.rank == 0 else None, bucket_bytes=256)

        def same(one: Any, two: Any) -> bool:
            raw = [t.detach().resolve_conj().contiguous().reshape(-1).view(torch.uint8) for t in (one, two)]
            return one.dtype == two.dtype and one.shape == two.shape and torch.equal(*raw)

        return [list(got) == list(given), [name for name in given if not same(given[name], got[name])]]

    @check
    def ranks_without_the_model_may_have_it_on_the_meta_device(group: RankGroup) -> Any:
        with torch.device("cpu" if group.rank == 0 else "meta"):
            torch.manual_seed(0)
            net = torch.nn.Linear(4, 3)
        net.load_state_dict(broadcast_state_dict(net.state_dict()), assign=True)
        return round(float(net.weight.detach().sum()), 5)

    @check
    def what_cannot_be_sent_is_refused_on_every_rank(group: RankGroup) -> Any:
        said = []
        for bad in (torch.empty(2, device="meta"), torch.eye(2).to_sparse(), 3, None):
            state = None if bad is None else {"net.w": bad}
            try:
                broadcast_state_dict(state if group.rank == 0 else None)
            except RecipeError as error:
                said.append(str(error))
        return said

    @check
    def a_sharded_model_is_gathered_whole_on_rank_0(group: RankGroup) -> Any:
        from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
        from torch.nn.parallel import DistributedDataParallel

        def make() -> Any:
            torch.manual_seed(0)
            return torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))

        plain, mesh = make().state_dict(), init_device_mesh("cpu", (group.world_size,))
        sharded = make()
        fully_shard(sharded, mesh=mesh)
        models = {
            "plain": make(),
            "ddp": DistributedDataParallel(make()),
            "fsdp2": sharded,
        }
        right = {}
        for name, model in models.items():
            got = gather_state_dict(model)
            whole = {key: bool(torch.equal(got[key], plain[key])) for key in got}
            right[name] = all(whole.values()) and list(got) == (list(plain) if group.rank == 0 else [])
        # The way back: one rank has the new weights, each takes its part of them.
        new = {name: tensor + 1 for name, tensor in plain.items()} if group.rank == 0 else {}
        back = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
        set_model_state_dict(sharded, new, options=back)
        again = gather_state_dict(sharded)
        right["back"] = all(bool(torch.equal(again[key], plain[key] + 1)) for key in again)
        return right


def main() -> None:
    if sys.argv[2:3] == ["torch"]:
        names = ("RANK", "WORLD_SIZE", "MASTER_PORT")
        os.environ |= dict(zip(names, sys.argv[3:], strict=True)) | {"MASTER_ADDR": "127.0.0.1"}
        from fox_hpc import init_process_group

        init_process_group()
        torch_checks()
    group = RankGroup()
    found = {name: one(group) for name, one in CHECKS.items()}
    torch_loaded = "torch" in sys.modules
    told = {"backend": group.backend, "torch": torch_loaded, **found}
    Path(sys.argv[1], f"rank-{group.rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
