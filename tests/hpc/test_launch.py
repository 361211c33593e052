from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from recordings import Programs

from fox_hpc.errors import RecipeError
from fox_hpc.hpc.launch import Start, node_script, start_on_nodes

NODES = ("cn01", "cn02")
AGENT = ("/bin/bash", "/shared/agent.sh")


@pytest.mark.parametrize(
    ("launcher", "line"),
    [
        (
            "srun",
            "srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=8"
            " --kill-on-bad-exit=1 --export=ALL",
        ),
        ("jsrun", "jsrun -n 2 -r 1 -a 1 -c 8 -g 4"),
        ("mpiexec", "mpiexec -n 2 -ppn 1"),
    ],
)
def test_some_launchers_start_all_nodes_at_once(launcher: str, line: str) -> None:
    starts = start_on_nodes(launcher, NODES, AGENT, cpus=8, gpus=4)

    assert starts == [Start((*line.split(), *AGENT), NODES, numbered=False)]


@pytest.mark.parametrize(
    ("launcher", "torque", "lines"),
    [
        ("pbs_tmrsh", False, ["pbs_tmrsh cn01", "pbs_tmrsh cn02"]),
        ("pbsdsh", False, ["pbsdsh -n 0 --", "pbsdsh -n 1 --"]),
        ("pbsdsh", True, ["pbsdsh -h cn01", "pbsdsh -h cn02"]),
        ("blaunch", False, ["blaunch -z cn01", "blaunch -z cn02"]),
    ],
)
def test_others_start_each_node_and_give_it_its_number(launcher: str, torque: bool, lines: list[str]) -> None:
    starts = start_on_nodes(launcher, NODES, AGENT, torque=torque)

    assert starts == [
        Start((*line.split(), *AGENT, str(number)), (node,), numbered=True, tells=launcher != "pbsdsh")
        for number, (line, node) in enumerate(zip(lines, NODES, strict=True))
    ]


def test_an_unknown_launcher_is_refused() -> None:
    with pytest.raises(RecipeError, match="launcher 'auto' is none of srun"):
        start_on_nodes("auto", NODES, AGENT)


@pytest.mark.parametrize(
    ("arguments", "environ", "number"),
    [(["1"], {}, "1"), ([], {"SLURM_NODEID": "1"}, "1"), ([], {"PALS_RANKID": "3"}, "3"), ([], {}, "0")],
)
def test_a_node_gets_exports_folder_and_number_from_its_script(
    tmp_path: Path, programs: Programs, arguments: list[str], environ: dict[str, str], number: str
) -> None:
    folder = tmp_path / "ann's runs"
    folder.mkdir()
    script = tmp_path / "node.sh"
    exports = {"FOX_X": "it's a, b\n$HOME", "PATH": programs.environ["PATH"]}
    words = ["bash", "-c", 'printf "%s|%s|%s" "$FOX_NODE_RANK" "$FOX_X" "$PWD"']
    script.write_text(node_script(exports, words, folder))

    printed = subprocess.run(
        ["/bin/bash", script, *arguments], env=environ, capture_output=True, text=True, check=True
    ).stdout

    assert printed == f"{number}|it's a, b\n$HOME|{folder}"
