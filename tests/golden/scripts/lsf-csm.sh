#!/bin/bash
#BSUB -J fedavg-20261124-093000-a1b2-site-1-1
#BSUB -nnodes 2
#BSUB -alloc_flags 'smt4 gpumps'
#BSUB -W 90
#BSUB -wa USR2
#BSUB -wt 2
#BSUB -rn
#BSUB -env "all"
#BSUB -o /home/ann/fox_runs/r1/sites/site-1/attempt-1/scheduler.log

exec >>/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${LSB_JOBID}_0_log.out" 2>>/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${LSB_JOBID}_0_log.err"
trap '' USR2
export SUBMITIT_EXECUTOR=lsf
export FOX_JOB_NAME='fedavg-20261124-093000-a1b2-site-1-1'
export FOX_LAUNCHER='jsrun'
export FOX_PARENT_URL='tcp://10.0.0.1:4711 tcp://login:4711'
export FOX_SIGNAL_LEAD_S='120'
export FOX_SITE_NAME='site-1'
export FOX_TIME_LIMIT_S='5400'
submitted=/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${LSB_JOBID}_submitted.pkl"
[ -f "$submitted" ] && [ ! -L "$submitted" ] || ln -sf submitted.pkl "$submitted"
exec '/home/ann/my envs/bin/python' -u -m submitit.core._submit /home/ann/fox_runs/r1/sites/site-1/attempt-1
