#!/bin/bash
#BSUB -J fedavg-20260301-101500-a1b2-site-1-1
#BSUB -q gpu
#BSUB -P proj-42
#BSUB -n 64
#BSUB -R "span[ptile=32]"
#BSUB -gpu "num=4"
#BSUB -R "rusage[mem=240G]"
#BSUB -W 240
#BSUB -wa USR2
#BSUB -wt 2
#BSUB -rn
#BSUB -env "all"
#BSUB -o /shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1/scheduler.log
#BSUB -G physics

exec >>/shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1/"${LSB_JOBID}_0_log.out" 2>>/shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1/"${LSB_JOBID}_0_log.err"
trap '' USR2
module load cuda/12.4
export SUBMITIT_EXECUTOR=lsf
export FOX_ATTEMPT='1'
export FOX_CLIENT_CLASS='Trainer'
export FOX_JOB_NAME='fedavg-20260301-101500-a1b2-site-1-1'
export FOX_KEYS_DIR='/shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1/keys'
export FOX_LAUNCHER='blaunch'
export FOX_PARENT_FQCN='site-1.app'
export FOX_PARENT_URL='tcp://login1:40123 tcp://10.1.0.5:40123 tcp://127.0.0.1:40123'
export FOX_RUN_DIR='/shared/ann/fox_runs/fedavg-20260301-101500-a1b2'
export FOX_SIGNAL_LEAD_S='120'
export FOX_SITE_NAME='site-1'
export FOX_TIME_LIMIT_S='14400'
export FOX_WORKER_ID='0'
submitted=/shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1/"${LSB_JOBID}_submitted.pkl"
[ -f "$submitted" ] && [ ! -L "$submitted" ] || ln -sf submitted.pkl "$submitted"
exec /shared/venv/bin/python -u -m submitit.core._submit /shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1
