#!/bin/bash
#PBS -N fedavg-92b37e2c
#PBS -S /bin/bash
#PBS -q gpu
#PBS -A proj-42
#PBS -l nodes=2:ppn=32:gpus=8:a100:ib
#PBS -l mem=128gb
#PBS -l walltime=04:00:00
#PBS -r n
#PBS -j oe
#PBS -o /home/ann/fox_runs/r1/sites/site-1/attempt-1/scheduler.log
#PBS -m n

exec >>/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${PBS_JOBID%%.*}_0_log.out" 2>>/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${PBS_JOBID%%.*}_0_log.err"
cd "$PBS_O_WORKDIR"
trap '' USR2
module purge
module load cuda/12.4
export SUBMITIT_EXECUTOR=pbs
export FOX_JOB_NAME='fedavg-20261124-093000-a1b2-site-1-1'
export FOX_LAUNCHER='mpiexec'
export FOX_PARENT_URL='tcp://10.0.0.1:4711 tcp://login:4711'
export FOX_SIGNAL_LEAD_S='300'
export FOX_SITE_NAME='site-1'
export FOX_TIME_LIMIT_S='14400'
submitted=/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${PBS_JOBID%%.*}_submitted.pkl"
[ -f "$submitted" ] && [ ! -L "$submitted" ] || ln -sf submitted.pkl "$submitted"
exec singularity exec /sw/train.sif python -u -m submitit.core._submit /home/ann/fox_runs/r1/sites/site-1/attempt-1
