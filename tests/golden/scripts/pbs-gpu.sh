#!/bin/bash
#PBS -N fedavg-92b37e2c
#PBS -S /bin/bash
#PBS -l select=2:ncpus=16:ngpus=4
#PBS -l place=scatter
#PBS -l walltime=01:30:00
#PBS -r n
#PBS -j oe
#PBS -o /home/ann/fox_runs/r1/sites/site-1/attempt-1/scheduler.log

exec >>/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${PBS_JOBID%%.*}_0_log.out" 2>>/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${PBS_JOBID%%.*}_0_log.err"
cd "$PBS_O_WORKDIR"
trap '' USR2
export SUBMITIT_EXECUTOR=pbs
export FOX_JOB_NAME='fedavg-20261124-093000-a1b2-site-1-1'
export FOX_LAUNCHER='pbs_tmrsh'
export FOX_PARENT_URL='tcp://10.0.0.1:4711 tcp://login:4711'
export FOX_SIGNAL_LEAD_S='120'
export FOX_SITE_NAME='site-1'
export FOX_TIME_LIMIT_S='5400'
submitted=/home/ann/fox_runs/r1/sites/site-1/attempt-1/"${PBS_JOBID%%.*}_submitted.pkl"
[ -f "$submitted" ] && [ ! -L "$submitted" ] || ln -sf submitted.pkl "$submitted"
exec '/home/ann/my envs/bin/python' -u -m submitit.core._submit /home/ann/fox_runs/r1/sites/site-1/attempt-1
