#!/usr/bin/env bash
# A real Slurm on one machine, for tests: slurmctld and two slurmd, `lab1` and `lab2`, each with 4 CPUs and 2 GPUs.
#
#   tests/slurm/cluster.sh run COMMAND...   up, COMMAND, down
#   tests/slurm/cluster.sh up | down        by hand, to try `snakemake --profile slurm all`
#
# Needs root and Debian's or Ubuntu's packages, which it installs if they are missing. If that fails, it says why in one
# sentence and exits with status 77. A Slurm that is already configured on this machine is never touched.
# The GPUs are links to /dev/null: Slurm counts, reserves and names them (CUDA_VISIBLE_DEVICES), but nothing runs on them.
set -euo pipefail
LAB=${CRIBO_SLURM_LAB:-/tmp/cribo-slurm}
CONF=/etc/slurm
MARK="# written by tests/slurm/cluster.sh"
HOSTS="127.0.0.1 lab1 lab2 $MARK"

impossible() { echo "no Slurm tests here: $1" >&2; exit 77; }

ours() { head -n 1 "$CONF/slurm.conf" 2>/dev/null | grep -qF "$MARK"; }

install_slurm() {
    [ "$(id -u)" = 0 ] || impossible "installing and starting Slurm needs root"
    if [ -e "$CONF/slurm.conf" ] && ! ours; then impossible "$CONF/slurm.conf belongs to a Slurm of this machine"; fi
    command -v slurmctld slurmd srun munged >/dev/null && return
    command -v apt-get >/dev/null || impossible "slurmctld is missing and there is no apt-get to install it with"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
        slurmctld slurmd slurm-client munge; } >"$LAB/install.log" 2>&1 \
        || impossible "apt-get could not install slurmctld, slurmd, slurm-client and munge ($LAB/install.log)"
}

# proctrack/linuxproc and task/none need no cgroups. config_overrides lets a machine of two cores pose as two nodes of four.
# A requeued job waits for cred_expire, 120 s by default. ReturnToService is not 2, because a node set down by hand would
# then return with its next message, while the job's old step is still ending there. Snakemake's jobs drop SLURM_CONF, so
# slurm.conf must be where Slurm looks for it by default.
configure() {
    mkdir -p "$LAB"/{state,spool,log,dev,munge} "$CONF"
    chmod 755 "$LAB"
    for gpu in lab{1,2}-gpu{0,1}; do ln -sfn /dev/null "$LAB/dev/$gpu"; done
    grep -qF "$HOSTS" /etc/hosts || echo "$HOSTS" >>/etc/hosts # torchrun's processes connect to a node by its name
    cat >"$CONF/slurm.conf" <<END
$MARK
ClusterName=lab
SlurmctldHost=localhost
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$LAB/munge/socket,cred_expire=5
StateSaveLocation=$LAB/state
SlurmdSpoolDir=$LAB/spool/%n
SlurmctldPidFile=$LAB/slurmctld.pid
SlurmdPidFile=$LAB/%n.pid
SlurmctldLogFile=$LAB/log/slurmctld.log
SlurmdLogFile=$LAB/log/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
ReturnToService=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
GresTypes=gpu
MinJobAge=300
KillWait=5
NodeName=lab[1-2] NodeHostname=localhost Port=[17001-17002] CPUs=4 RealMemory=8000 Gres=gpu:2
PartitionName=lab Nodes=ALL Default=YES DefMemPerCPU=200
END
    cat >"$CONF/gres.conf" <<END
$MARK
AutoDetect=off
NodeName=lab1 Name=gpu File=$LAB/dev/lab1-gpu[0-1]
NodeName=lab2 Name=gpu File=$LAB/dev/lab2-gpu[0-1]
END
}

start() {
    [ -e "$LAB/munge/key" ] || (umask 077 && head -c 128 /dev/urandom >"$LAB/munge/key")
    munged --key-file="$LAB/munge/key" --socket="$LAB/munge/socket" --pid-file="$LAB/munged.pid" \
        --log-file="$LAB/munge/log" --seed-file="$LAB/munge/seed"
    slurmctld
    slurmd -N lab1
    slurmd -N lab2
    for _ in $(seq 100); do
        if [ "$(sinfo --noheader --states=idle --format=%D 2>/dev/null)" = 2 ]; then return; fi
        sleep 0.2
    done
    tail -n 20 "$LAB"/log/*.log >&2
    echo "Slurm did not come up in 20 s; its logs are above and in $LAB/log" >&2
    exit 1
}

up() {
    mkdir -p "$LAB"
    install_slurm
    ours && down
    configure
    start
}

down() {
    for daemon in lab1 lab2 slurmctld munged; do
        pid=$(cat "$LAB/$daemon.pid" 2>/dev/null) || continue
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    done
    if ours; then rm -f "$CONF/slurm.conf" "$CONF/gres.conf"; fi
    rm -rf "$LAB"/{state,spool,munge} "$LAB"/*.pid
    if grep -qF "$HOSTS" /etc/hosts; then # written in place: in a container the file is a mount and cannot be replaced
        others=$(grep -vF "$HOSTS" /etc/hosts) && echo "$others" >/etc/hosts
    fi
}

case "${1:-}" in
    up) up ;;
    down) down ;;
    run)
        shift
        up
        trap down EXIT
        CRIBO_SLURM=$LAB "$@"
        ;;
    *) sed -n '4,5s/^# *//p' "$0"; exit 2 ;;
esac
