"""Sockets, and whom they reach."""

import fcntl
import os
import socket
import struct

from attempts import attempt


def opens(family: int, kind: int, protocol: int = 0) -> bool:
    socket.socket(family, kind, protocol).close()
    return True


@attempt
def opens_a_raw_socket() -> bool:
    return opens(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


@attempt
def opens_a_packet_socket() -> bool:
    return opens(17, socket.SOCK_RAW, 768)


@attempt
def opens_a_ping_socket() -> bool:
    return opens(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)


@attempt
def opens_a_vsock() -> bool:
    return opens(40, socket.SOCK_STREAM)


@attempt
def opens_a_crypto_socket() -> bool:
    return opens(38, socket.SOCK_SEQPACKET)


@attempt
def opens_a_socket_of_an_odd_family() -> bool:
    odd = [3, 4, 5, 6, 8, 9, 11, 15, 18, 20, 21, 23, 24, 26, 27, 29, 30, 31, 32, 33, 35, 36, 37, 39, 41, 42, 43, 44, 45]
    for family in odd:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                return opens(family, kind)
            except OSError:
                continue
    return False


def connects(host: str, port: int, family: int = socket.AF_INET) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        try:
            sock.connect((host, port))
        except ConnectionRefusedError:
            return True  # somebody answered: there is a way
    return True


@attempt
def reaches_the_metadata_service() -> bool:
    return connects("169.254.169.254", 80)


@attempt
def reaches_the_internet() -> bool:
    return connects("1.1.1.1", 443)


@attempt
def reaches_the_internet_by_ipv6() -> bool:
    return connects("2606:4700:4700::1111", 443, socket.AF_INET6)


@attempt
def reaches_the_engines_bridge() -> bool:
    return connects("172.17.0.1", 22)


@attempt
def resolves_a_name() -> bool:
    return bool(socket.getaddrinfo("example.com", 443))


@attempt
def has_an_interface_beside_loopback() -> bool:
    return any(name != "lo" and is_up(name) for _, name in socket.if_nameindex())


def is_up(name: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        flags = fcntl.ioctl(sock, 0x8913, struct.pack("16sH14x", name.encode(), 0))
    return bool(struct.unpack("16sH14x", flags)[1] & 1)


@attempt
def finds_the_engines_socket() -> bool:
    paths = ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock")
    for path in paths:
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(path)
                return True
            except OSError:
                continue
    return False


@attempt
def finds_an_abstract_socket_of_the_host() -> bool:
    with open("/proc/net/unix") as lines:
        return any("@" in line.rsplit(" ", 1)[-1] for line in lines)


@attempt
def dials_the_control_socket() -> bool:
    for name in os.listdir("/run/agentrt"):
        if name == "proxy.sock":
            continue  # meant to be dialled: a grant decides what it answers
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(os.path.join("/run/agentrt", name))
            return True
    return False
