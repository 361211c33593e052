#!/bin/bash
#PBS -N fedavg-f32b281b
#PBS -S /bin/bash
#PBS -q gpu
#PBS -A proj-42
#PBS -l select=2:ncpus=32:ngpus=4:mem=240gb
#PBS -l place=scatter
#PBS -l walltime=04:00:00
#PBS -r n
#PBS -j oe
#PBS -o /shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1/scheduler.log
#PBS -W umask=027

exec >>/shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1/"${PBS_JOBID%%.*}_0_log.out" 2>>/shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1/"${PBS_JOBID%%.*}_0_log.err"
cd "$PBS_O_WORKDIR"
trap '' USR2
source /etc/profile.d/modules.sh
module load cuda/12.4
export SUBMITIT_EXECUTOR=pbs
export FOX_ATTEMPT='1'
export FOX_CLIENT_CLASS='Trainer'
export FOX_JOB_NAME='fedavg-20260301-101500-a1b2-site-1-1'
export FOX_KEYS_DIR='/shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1/keys'
export FOX_LAUNCHER='pbs_tmrsh'
export FOX_PARENT_FQCN='site-1.app'
export FOX_PARENT_URL='tcp://login1:40123 tcp://10.1.0.5:40123 tcp://127.0.0.1:40123'
export FOX_RUN_DIR='/shared/ann/fox_runs/fedavg-20260301-101500-a1b2'
export FOX_SIGNAL_LEAD_S='120'
export FOX_SITE_NAME='site-1'
export FOX_TIME_LIMIT_S='14400'
export FOX_WORKER_ID='0'
submitted=/shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1/"${PBS_JOBID%%.*}_submitted.pkl"
[ -f "$submitted" ] && [ ! -L "$submitted" ] || ln -sf submitted.pkl "$submitted"
exec /shared/venv/bin/python -u -m submitit.core._submit /shared/ann/fox_runs/fedavg-20260301-101500-a1b2/sites/site-1/attempt-1
