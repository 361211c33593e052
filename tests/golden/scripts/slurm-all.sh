#!/bin/bash
#SBATCH --job-name=fedavg-20261124-093000-a1b2-site-1-1
#SBATCH --partition=gpu
#SBATCH --account=proj-42
#SBATCH --qos=high
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --gres=gpu:8
#SBATCH --mem=64G
#SBATCH --time=4:00:00
#SBATCH --constraint='a100&(ib|opa)'
#SBATCH --exclusive
#SBATCH --signal=B:USR2@300
#SBATCH --no-requeue
#SBATCH --open-mode=append
#SBATCH --output=/home/ann/fox_runs/r1/sites/site-1/attempt-1/%j_0_log.out
#SBATCH --error=/home/ann/fox_runs/r1/sites/site-1/attempt-1/%j_0_log.err
#SBATCH --reservation=class
#SBATCH --mem=0

trap '' USR2
module purge
module load cuda/12.4
export SLURM_EXPORT_ENV=ALL
export SRUN_CPUS_PER_TASK=32
export SUBMITIT_EXECUTOR=slurm
export FOX_JOB_NAME='fedavg-20261124-093000-a1b2-site-1-1'
export FOX_LAUNCHER='mpiexec'
export FOX_PARENT_URL='tcp://10.0.0.1:4711 tcp://login:4711'
export FOX_SIGNAL_LEAD_S='300'
export FOX_SITE_NAME='site-1'
export FOX_TIME_LIMIT_S='14400'
submitted=/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${SLURM_JOB_ID}_submitted.pkl"
[ -f "$submitted" ] && [ ! -L "$submitted" ] || ln -sf submitted.pkl "$submitted"
exec singularity exec /sw/train.sif python -u -m submitit.core._submit /home/ann/fox_runs/r1/sites/site-1/attempt-1
