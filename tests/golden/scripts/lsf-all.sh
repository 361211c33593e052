#!/bin/bash
#BSUB -J fedavg-20261124-093000-a1b2-site-1-1
#BSUB -q gpu
#BSUB -P proj-42
#BSUB -n 64
#BSUB -R "span[ptile=32]"
#BSUB -gpu "num=8"
#BSUB -R "rusage[mem=64G]"
#BSUB -R "select[a100 && type==any]"
#BSUB -x
#BSUB -W 240
#BSUB -wa USR2
#BSUB -wt 5
#BSUB -rn
#BSUB -env "all"
#BSUB -o /home/ann/fox_runs/r1/sites/site-1/attempt-1/scheduler.log
#BSUB -sla gold
#BSUB -R "order[mem]"

exec >>/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${LSB_JOBID}_0_log.out" 2>>/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${LSB_JOBID}_0_log.err"
trap '' USR2
module purge
module load cuda/12.4
export SUBMITIT_EXECUTOR=lsf
export FOX_JOB_NAME='fedavg-20261124-093000-a1b2-site-1-1'
export FOX_LAUNCHER='mpiexec'
export FOX_PARENT_URL='tcp://10.0.0.1:4711 tcp://login:4711'
export FOX_SIGNAL_LEAD_S='300'
export FOX_SITE_NAME='site-1'
export FOX_TIME_LIMIT_S='14400'
submitted=/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${LSB_JOBID}_submitted.pkl"
[ -f "$submitted" ] && [ ! -L "$submitted" ] || ln -sf submitted.pkl "$submitted"
exec singularity exec /sw/train.sif python -u -m submitit.core._submit /home/ann/fox_runs/r1/sites/site-1/attempt-1
