"""Writes the configuration of every part of the cluster, and its keys."""

import os
import pwd
import secrets
import shutil
from pathlib import Path

from deploy.cluster.layout import NODES, Layout

CLUSTER = "labs"
CORES, MEMORY_MB, NPUS, GPUS = 32, 64000, 8, 2  # what each node says it has; nothing of it is there
FAKE_GPU_NODE = "n4"


def write(layout: Layout) -> None:
    _folders(layout)
    _keys(layout)
    write_file(layout.slurm_conf, slurm_conf(layout), 0o644)
    write_file(layout.etc / "gres.conf", gres_conf(layout), 0o644)
    write_file(layout.etc / "slurmdbd.conf", slurmdbd_conf(layout), 0o600, "slurm")
    for number in range(GPUS):
        (layout.folder / "devices" / f"gpu{number}").touch()


def slurm_conf(layout: Layout) -> str:
    host, port = layout.host, layout.port_of
    nodes = [
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port(node)} CPUs={CORES} "
        f"RealMemory={MEMORY_MB} Gres={gres_of(node)} State=UNKNOWN"
        for node in NODES
    ]
    return f"""# Four nodes on one host, without cgroups and systemd. Slurm 22.05 (Debian 12).
ClusterName={CLUSTER}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port("slurmctld")}
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=socket={layout.munge_socket}
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={layout.jwt_key}
StateSaveLocation={layout.folder}/state
SlurmdSpoolDir={layout.folder}/spool/%n
SlurmctldPidFile={layout.run}/slurm/slurmctld.pid
SlurmdPidFile={layout.run}/slurm/%n.pid
SlurmctldLogFile={layout.logs}/slurmctld.log
SlurmdLogFile={layout.logs}/%n.log
MailProg=/bin/true

# A job keeps to its cores and its memory without cgroups
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=30
SlurmctldTimeout=30

# Scheduling, quick as somebody waits for every lab
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=5,batch_sched_delay=0,sched_min_interval=100000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
KillWait=5
MinJobAge=300
EnforcePartLimits=ALL

# Priorities and the second fence of quotas. Budgets do not refill by themselves
PriorityType=priority/multifactor
PriorityDecayHalfLife=0
PriorityUsageResetPeriod=NONE
PriorityCalcPeriod=1
PriorityWeightFairshare=10000
PriorityWeightAge=1000
PriorityWeightQOS=2000
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port("slurmdbd")}
AccountingStoragePass={layout.munge_socket}
AccountingStorageEnforce=associations,limits,qos,safe
AccountingStorageTRES=gres/gpu,gres/npu
AccountingStoreFlags=job_comment
PrivateData=jobs,usage,users,accounts

GresTypes=gpu,npu
{chr(10).join(nodes)}
PartitionName=labs Nodes=n[1-4] Default=YES MaxTime=12:00:00 DefaultTime=00:10:00 DefMemPerCPU=500
PartitionName=batch Nodes=n[1-4] PriorityTier=0 MaxTime=04:00:00 DefaultTime=00:05:00 DefMemPerCPU=500
"""


def gres_of(node: str) -> str:
    return f"gpu:fake:{GPUS}" if node == FAKE_GPU_NODE else f"npu:ascend:{NPUS}"


def gres_conf(layout: Layout) -> str:
    npus = ",".join(node for node in NODES if node != FAKE_GPU_NODE)
    return (
        f"NodeName={npus} Name=npu Type=ascend Count={NPUS}\n"
        f"NodeName={FAKE_GPU_NODE} Name=gpu Type=fake File={layout.folder}/devices/gpu[0-{GPUS - 1}]\n"
    )


def slurmdbd_conf(layout: Layout) -> str:
    return f"""AuthType=auth/munge
AuthInfo=socket={layout.munge_socket}
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={layout.jwt_key}
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={layout.port_of("slurmdbd")}
SlurmUser=slurm
LogFile={layout.logs}/slurmdbd.log
PidFile={layout.run}/slurm/slurmdbd.pid
PrivateData=jobs,usage,users,accounts
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={layout.port_of("mariadb")}
StorageUser=slurm
StoragePass={layout.database_password}
StorageLoc=slurm_acct_db
"""


def _folders(layout: Layout) -> None:
    slurm, munge, mysql, hub = "slurm", "munge", "mysql", layout.hub_account
    for folder, owner, mode in (
        (layout.etc, "root", 0o755),
        (layout.run, "root", 0o755),
        (layout.run / "slurm", slurm, 0o755),
        (layout.run / "munge", munge, 0o755),
        (layout.run / "mariadb", mysql, 0o750),
        (layout.logs, slurm, 0o755),
        (layout.logs / "munge", munge, 0o700),
        (layout.folder / "munge", munge, 0o700),
        (layout.folder / "database", mysql, 0o700),
        (layout.folder / "state", slurm, 0o700),
        (layout.folder / "spool", "root", 0o755),
        (layout.folder / "devices", "root", 0o755),
        (layout.homes, "root", 0o755),
        (layout.rooms, hub, 0o711),
        (layout.folder / "hub", hub, 0o700),
        *((layout.folder / "spool" / node, "root", 0o755) for node in NODES),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.chown(folder, owner)
        folder.chmod(mode)


def _keys(layout: Layout) -> None:
    munge_key = layout.folder / "munge" / "munge.key"
    if not munge_key.exists():
        _write_bytes(munge_key, secrets.token_bytes(128), 0o400, "munge")
    if not layout.jwt_key.exists():
        _write_bytes(layout.jwt_key, secrets.token_bytes(48), 0o600, "slurm")
    _write_bytes(layout.hub_jwt_key, layout.jwt_key.read_bytes(), 0o400, layout.hub_account)


def write_file(path: Path, text: str, mode: int, owner: str = "root") -> None:
    _write_bytes(path, text.encode(), mode, owner)


def _write_bytes(path: Path, content: bytes, mode: int, owner: str) -> None:
    """Never readable by others, not even for a moment."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "wb") as file:
        file.write(content)
        os.fchown(handle, pwd.getpwnam(owner).pw_uid, pwd.getpwnam(owner).pw_gid)
        os.fchmod(handle, mode)
    fresh.replace(path)
