"""A box as the Docker API takes it."""

from typing import Any

from ..spec import MIB
from .engine import BoxSpec, Mount
from .hardening import HIDDEN, HOSTNAME, PATH, SHM_BYTES, TMP_INODES, ULIMITS
from .seccomp import PROFILE, profile_text

BOX_LABEL = "agentrt.box"


def container_name(box_id: str) -> str:
    return f"agentrt-{box_id}"


def image_name(tag: str) -> str:
    """The name that an image was given. Podman puts before it where it would come from, had it not been made here."""
    return tag.removeprefix("docker.io/library/").removeprefix("localhost/")


def container_config(spec: BoxSpec, *, runtime: str, for_podman: bool) -> dict[str, Any]:
    """The body of a request that creates the container."""
    program, *arguments = spec.command
    return {
        "Image": spec.image,
        "Entrypoint": [program],
        "Cmd": arguments,
        "User": f"{spec.uid}:{spec.group}",
        "WorkingDir": "/",
        "Hostname": HOSTNAME,
        "Env": [f"{name}={value}" for name, value in {"PATH": PATH, **spec.env}.items()],
        "Labels": {**spec.labels, BOX_LABEL: spec.id},
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(spec, runtime, for_podman),
    }


def _host_config(spec: BoxSpec, runtime: str, for_podman: bool) -> dict[str, Any]:
    limits = spec.limits
    # Podman takes a path of the profile, and no number of inodes: there memory is what limits them
    profile, inodes = (PROFILE, "") if for_podman else (profile_text(), f",nr_inodes={TMP_INODES}")
    # and without root it can raise no limit: many machines have one of 0 for cores
    ulimits = ULIMITS | ({"core": 0} if for_podman else {})
    # bubblewrap has no /sys at all; this one names the machine's parts, and the files behind its loop devices
    hidden = [*HIDDEN, "/sys"]
    masked = [f"mask={':'.join(hidden)}"] if for_podman else []  # it does not heed MaskedPaths
    memory = limits.memory_mb * MIB
    tmp = f"rw,exec,nosuid,nodev,size={limits.tmp_mb}m,mode=1777{inodes}"
    config: dict[str, Any] = {
        "NetworkMode": "none",
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", f"seccomp={profile}", *masked],
        "Memory": memory,
        "MemorySwap": memory,
        "PidsLimit": limits.pids,
        "NanoCpus": round(limits.cpus * 1e9),
        "Ulimits": [{"Name": name, "Soft": value, "Hard": value} for name, value in ulimits.items()],
        "Tmpfs": {"/tmp": tmp},
        "MaskedPaths": hidden,
        "ShmSize": SHM_BYTES,
        "Sysctls": {"net.ipv4.ping_group_range": "1 0"},
        "LogConfig": {"Type": "none"},
        "Mounts": [_mount(mount) for mount in spec.mounts],
        # what the machine resolves names with is nothing to a box without a network
        "Dns": ["127.0.0.1"],
        "DnsSearch": ["."],
    }
    return config | ({"Runtime": runtime} if runtime else {})


def _mount(mount: Mount) -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": str(mount.source),
        "Target": mount.target,
        "ReadOnly": mount.read_only,
        "BindOptions": {"Propagation": "rslave" if mount.receives else "rprivate"},
    }
