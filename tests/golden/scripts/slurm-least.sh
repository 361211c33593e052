#!/bin/bash
#SBATCH --job-name=fedavg-20261124-093000-a1b2-site-1-1
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=1
#SBATCH --signal=B:USR2@120
#SBATCH --no-requeue
#SBATCH --open-mode=append
#SBATCH --output=/home/ann/fox_runs/r1/sites/site-1/attempt-1/%j_0_log.out
#SBATCH --error=/home/ann/fox_runs/r1/sites/site-1/attempt-1/%j_0_log.err

trap '' USR2
export SLURM_EXPORT_ENV=ALL
export SRUN_CPUS_PER_TASK=1
export SUBMITIT_EXECUTOR=slurm
export FOX_JOB_NAME='fedavg-20261124-093000-a1b2-site-1-1'
export FOX_LAUNCHER='srun'
export FOX_PARENT_URL='tcp://10.0.0.1:4711 tcp://login:4711'
export FOX_SIGNAL_LEAD_S='120'
export FOX_SITE_NAME='site-1'
submitted=/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${SLURM_JOB_ID}_submitted.pkl"
[ -f "$submitted" ] && [ ! -L "$submitted" ] || ln -sf submitted.pkl "$submitted"
exec '/home/ann/my envs/bin/python' -u -m submitit.core._submit /home/ann/fox_runs/r1/sites/site-1/attempt-1
