"""Writes the job script of a site kit from its site.toml: `python -m fox_hpc.cli.kits slurm`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..environment import WorkerEnv
from ..hpc.executor import render
from ..hpc.profile import load_profile
from ..site.launcher import plan_job
from ..spec import RunSpec, SiteSpec

REPO = Path(__file__).resolve().parents[2]
FOLDER = "/shared/ann/fox_runs/fedavg-20260301-101500-a1b2"


def job_script(kit: str) -> str:
    """Give the script that a recipe without a word of its own gets, on an imagined cluster."""
    profile = load_profile(REPO / kit / "site.toml")
    spec = RunSpec(
        run=Path(FOLDER).name,
        job_name="fedavg",
        folder=FOLDER,
        sites=(SiteSpec("site-1", hpc=dict(profile.job)),),
        min_clients=1,
        client_class="Trainer",
        python="/shared/venv/bin/python",
        scheduler=kit,
        server_urls=(),
    )
    worker = WorkerEnv(
        parent_urls=("tcp://login1:40123", "tcp://10.1.0.5:40123", "tcp://127.0.0.1:40123"),
        parent_fqcn="site-1.app",
        site_name="site-1",
        client_class="Trainer",
        run_dir=FOLDER,
        keys_dir=f"{FOLDER}/sites/site-1/attempt-1/keys",
    )
    return render(plan_job(spec, "site-1", worker)).script


if __name__ == "__main__":
    click.echo(job_script(sys.argv[1]), nl=False)
