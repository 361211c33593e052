#!/bin/bash
#BSUB -J fedavg-20261124-093000-a1b2-site-1-1
#BSUB -n 1
#BSUB -R "span[ptile=1]"
#BSUB -rn
#BSUB -env "all"
#BSUB -o /home/ann/fox_runs/r1/sites/site-1/attempt-1/scheduler.log

exec >>/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${LSB_JOBID}_0_log.out" 2>>/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${LSB_JOBID}_0_log.err"
trap '' USR2
export SUBMITIT_EXECUTOR=lsf
export FOX_JOB_NAME='fedavg-20261124-093000-a1b2-site-1-1'
export FOX_LAUNCHER='blaunch'
export FOX_PARENT_URL='tcp://10.0.0.1:4711 tcp://login:4711'
export FOX_SIGNAL_LEAD_S='120'
export FOX_SITE_NAME='site-1'
submitted=/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${LSB_JOBID}_submitted.pkl"
[ -f "$submitted" ] && [ ! -L "$submitted" ] || ln -sf submitted.pkl "$submitted"
exec '/home/ann/my envs/bin/python' -u -m submitit.core._submit /home/ann/fox_runs/r1/sites/site-1/attempt-1
