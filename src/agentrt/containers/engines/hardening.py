"""What every box is held to, on every engine. docs/decisions/0017 says why."""

from ..spec import MIB

HOSTNAME = "sandbox"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHM_BYTES = 16 * MIB
TMP_INODES = 16_384
# 1, and not 0: the kernel hands the cores of processes to the machine's own handler whatever this is, but for 1
ULIMITS = {"core": 1, "memlock": 64 * 1024, "nofile": 1024, "nproc": 32_768}
HIDDEN = (
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats"),
)
