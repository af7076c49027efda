#!/usr/bin/env bash
# A real Slurm of two nodes on this machine, for tests: `cluster.sh start DIR`, `cluster.sh stop DIR`.
# Needs root and Debian's packages slurm-wlm and munge. All traffic is loopback.
# After `start`, use it with SLURM_CONF=DIR/slurm.conf. Partitions: low (default; its jobs are pre-empted and
# requeued) and high (pre-empts low).
set -euo pipefail
action=${1:?start or stop}
dir=$(realpath -m "${2:?a folder}")
host=$(hostname -s)
export SLURM_CONF=$dir/slurm.conf
case $action in
  start)
    mkdir -p "$dir/state" "$dir/spool-node1" "$dir/spool-node2"
    cat > "$SLURM_CONF" << CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$dir/state
SlurmctldPidFile=$dir/slurmctld.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmdSpoolDir=$dir/spool-%n
SlurmdLogFile=$dir/slurmd-%n.log
SlurmctldPort=16817
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
SwitchType=switch/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
NodeName=node[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[16818-16819] CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=low Nodes=node[1-2] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes=node[1-2] MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONF
    mkdir -p /run/munge /var/log/munge
    chown munge:munge /run/munge /var/log/munge
    munge -n > /dev/null 2>&1 || {
      su -s /bin/sh munge -c '/usr/sbin/munged'
      echo started > "$dir/munged"
    }
    slurmctld -f "$SLURM_CONF" -c
    for _ in $(seq 150); do
      scontrol ping 2> /dev/null | grep -q UP && break
      sleep 0.2
    done
    slurmd -f "$SLURM_CONF" -N node1
    slurmd -f "$SLURM_CONF" -N node2
    for _ in $(seq 150); do
      [ "$(sinfo -h -N -p low -t idle 2> /dev/null | wc -l)" = 2 ] && break
      sleep 0.2
    done
    sinfo -N
    ;;
  stop)
    scontrol shutdown || true
    [ ! -e "$dir/munged" ] || kill "$(cat /run/munge/munged.pid)"
    ;;
  *)
    echo "start or stop" >&2
    exit 2
    ;;
esac
