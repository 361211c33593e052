#!/bin/bash
#SBATCH --job-name=fedavg-20260301-101500-a1b2-site-1-1
#SBATCH --partition=gpu
#SBATCH --account=proj-42
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --gres=gpu:4
#SBATCH --mem=240G
#SBATCH --time=4:00:00
#SBATCH --signal=B:USR2@120
#SBATCH --no-requeue
#SBATCH --open-mode=append
#SBATCH --output=/shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1/%j_0_log.out
#SBATCH --error=/shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1/%j_0_log.err
#SBATCH --mail-type=NONE

trap '' USR2
module load cuda/12.4
export SLURM_EXPORT_ENV=ALL
export SRUN_CPUS_PER_TASK=32
export SUBMITIT_EXECUTOR=slurm
export FOX_ATTEMPT='1'
export FOX_CLIENT_CLASS='Trainer'
export FOX_JOB_NAME='fedavg-20260301-101500-a1b2-site-1-1'
export FOX_KEYS_DIR='/shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1/keys'
export FOX_LAUNCHER='srun'
export FOX_PARENT_FQCN='site-1.app'
export FOX_PARENT_URL='tcp://login1:40123 tcp://10.1.0.5:40123 tcp://127.0.0.1:40123'
export FOX_RUN_DIR='/shared/ann/fox_runs/fedavg-20260301-101500-a1b2'
export FOX_SIGNAL_LEAD_S='120'
export FOX_SITE_NAME='site-1'
export FOX_TIME_LIMIT_S='14400'
export FOX_WORKER_ID='0'
submitted=/shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1/"${SLURM_JOB_ID}_submitted.pkl"
[ -f "$submitted" ] && [ ! -L "$submitted" ] || ln -sf submitted.pkl "$submitted"
exec /shared/venv/bin/python -u -m submitit.core._submit /shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1
