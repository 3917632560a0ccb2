"""Archives that somebody sent: honest ones are unpacked, hostile ones leave nothing behind."""

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from agentrt.containers.workspaces import Caps, Tree, safe_extract
from agentrt.kernel import AgentrtError, Invalid, TooLarge

CAPS = Caps(members=50, bytes=20_000_000)
MIB = 1024 * 1024


def a_zip(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members:
            packed.writestr(name, data)
    return out.getvalue()


def a_tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as packed:
        for info, data in members:
            packed.addfile(info, io.BytesIO(data))
    return out.getvalue()


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b"", **more: object
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def zip_entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def overlapping() -> bytes:
    """Two names of the directory that share one member's bytes."""
    packed = bytearray(a_zip(("a", bytes(1000)), ("b", bytes(1000))))
    start = packed.index(b"PK\1\2")
    second = packed.index(b"PK\1\2", start + 4)
    packed[second + 42 : second + 46] = struct.pack("<I", 0)
    return bytes(packed)


def encrypted() -> bytes:
    packed = bytearray(a_zip(("a", b"x")))
    for at in (6, packed.index(b"PK\1\2") + 8):
        packed[at] |= 1
    return bytes(packed)


def with_nul() -> bytes:
    return a_zip(("a.txt_.exe", b"x")).replace(b"a.txt_.exe", b"a.txt\0.exe")


def lying() -> bytes:
    """A member that says it has ten bytes and holds a million."""
    packed = bytearray(a_zip(("a", bytes(MIB))))
    at = packed.index(b"PK\1\2")
    packed[at + 24 : at + 28] = struct.pack("<I", 10)
    return bytes(packed)


def huge_header() -> bytes:
    """A header of a tar that claims to be a gigabyte of description."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    return info.tobuf(tarfile.USTAR_FORMAT) + bytes(MIB)


def sparse() -> bytes:
    info = tarfile.TarInfo("holes")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"00000000000\0" + b"00000001000\0"
    block[483:495] = b"77777777777\0"
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(2048)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "zip: up": lambda: a_zip(("../evil", b"x")),
    "zip: up in the middle": lambda: a_zip(("a/../../evil", b"x")),
    "zip: absolute": lambda: a_zip(("/evil", b"x")),
    "zip: backslashes": lambda: a_zip(("..\\evil", b"x")),
    "zip: link": lambda: a_zip((zip_entry("l", stat.S_IFLNK | 0o777), b"/etc/passwd")),
    "zip: link, then through it": lambda: a_zip((zip_entry("l", stat.S_IFLNK | 0o777), b"/tmp"), ("l/evil", b"x")),
    "zip: device": lambda: a_zip((zip_entry("d", stat.S_IFCHR | 0o666), b"")),
    "zip: pipe": lambda: a_zip((zip_entry("p", stat.S_IFIFO | 0o666), b"")),
    "zip: bomb": lambda: a_zip(("a", bytes(17 * MIB))),
    "zip: many large ones": lambda: a_zip(*((f"a{n}", os.urandom(1000) * 1000) for n in range(21))),
    "zip: shared bytes": overlapping,
    "zip: too many": lambda: a_zip(*((f"a{n}", b"") for n in range(51))),
    "zip: twice": lambda: a_zip(("a", b"1"), ("./a", b"2")),
    "zip: case": lambda: a_zip(("README", b"1"), ("readme", b"2")),
    "zip: folder in another case": lambda: a_zip(("A/x", b"1"), ("a/y", b"2")),
    "zip: two spellings of one name": lambda: a_zip(("e\u0301", b"1"), ("\u00e9", b"2")),
    "zip: file that is a folder": lambda: a_zip(("a", b"1"), ("a/b", b"2")),
    "zip: newline": lambda: a_zip(("a\nb", b"1")),
    "zip: NUL": with_nul,
    "zip: long name": lambda: a_zip(("a" * 300, b"1")),
    "zip: long path": lambda: a_zip(("a/" * 2500 + "b", b"1")),
    "zip: encrypted": encrypted,
    "zip: lies about a length": lying,
    "zip: cut off": lambda: a_zip(("a", os.urandom(10_000)))[:5000],
    "tar: up": lambda: a_tar(entry("../evil", data=b"x")),
    "tar: absolute": lambda: a_tar(entry("/evil", data=b"x")),
    "tar: link": lambda: a_tar(entry("l", tarfile.SYMTYPE, "/etc/passwd")),
    "tar: link, then through it": lambda: a_tar(entry("l", tarfile.SYMTYPE, "/tmp"), entry("l/evil", data=b"x")),
    "tar: link inside": lambda: a_tar(entry("a", data=b"x"), entry("l", tarfile.SYMTYPE, "a")),
    "tar: hard link": lambda: a_tar(entry("l", tarfile.LNKTYPE, "/etc/shadow")),
    "tar: character device": lambda: a_tar(entry("d", tarfile.CHRTYPE, devmajor=1, devminor=5)),
    "tar: block device": lambda: a_tar(entry("d", tarfile.BLKTYPE, devmajor=8)),
    "tar: pipe": lambda: a_tar(entry("p", tarfile.FIFOTYPE)),
    "tar: sparse": sparse,
    "tar: sparse by attributes": lambda: a_tar(
        entry("s", data=b"x", pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": "9999999999"})
    ),
    "tar: unknown kind": lambda: a_tar(entry("u", b"Z")),
    "tar: too many": lambda: a_tar(*(entry(f"a{n}") for n in range(51))),
    "tar: too large": lambda: a_tar(entry("a", data=bytes(20_000_001))),
    "tar: twice": lambda: a_tar(entry("a", data=b"1"), entry("a", data=b"2")),
    "tar: name in the attributes": lambda: a_tar(entry("a", data=b"x", pax_headers={"path": "../../evil"})),
    "tar: cut off": lambda: a_tar(entry("a", data=os.urandom(10_000)))[:5000],
    "tar: huge header": huge_header,
    "tar.gz: bomb": lambda: gzip.compress(bytes(200 * MIB), 9),
    "tar.gz: huge header": lambda: gzip.compress(huge_header()),
    "tar.gz: bomb after a good member": lambda: gzip.compress(a_tar(entry("a", data=b"x"))[:1024] + bytes(100 * MIB)),
    "tar.bz2: bomb": lambda: bz2.compress(bytes(100 * MIB)),
    "tar.xz: bomb": lambda: lzma.compress(bytes(100 * MIB), preset=1),
    "tar.gz: cut off": lambda: gzip.compress(a_tar(entry("a", data=os.urandom(10_000))))[:5000],
    "tar.xz: up": lambda: lzma.compress(a_tar(entry("../evil", data=b"x"))),
    "gz of no tar": lambda: gzip.compress(b"just a text" * 100),
    "no archive": lambda: b"#!/bin/sh\necho hello\n" * 100,
    "empty": lambda: b"",
}


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(tree: Tree, tmp_path: Path, hostile: str) -> None:
    tree.write("mine", b"mine")
    with pytest.raises((Invalid, TooLarge)) as refused:
        safe_extract(io.BytesIO(HOSTILE[hostile]()), tree, caps=CAPS)
    assert refused.value.message.isprintable() and str(tmp_path) not in refused.value.message
    assert everything(tmp_path) == ["files", "files/mine", "secret"]


HONEST = {
    "zip": lambda: a_zip(("a.txt", b"1"), ("dir/", b""), (zip_entry("dir/run.sh", stat.S_IFREG | 0o6755), b"2")),
    "tar": lambda: a_tar(entry("a.txt", data=b"1"), entry("dir", tarfile.DIRTYPE), entry("dir/run.sh", data=b"2", mode=0o6755)),
    "tar from here": lambda: a_tar(
        entry(".", tarfile.DIRTYPE), entry("./a.txt", data=b"1"), entry("./dir/run.sh", data=b"2", mode=0o6755)
    ),
}
PACKED = {"plain": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize(
    ("honest", "packing"), [("zip", "plain"), *((tar, how) for tar in ("tar", "tar from here") for how in PACKED)]
)
def test_an_honest_archive_is_unpacked(tree: Tree, tmp_path: Path, honest: str, packing: str) -> None:
    written = safe_extract(io.BytesIO(PACKED[packing](HONEST[honest]())), tree, "in/here", CAPS)
    assert written == ["in/here/a.txt", "in/here/dir/run.sh"]
    assert (tree.read("in/here/a.txt"), tree.read("in/here/dir/run.sh")) == (b"1", b"2")
    assert everything(tmp_path / "files") == ["in", "in/here", "in/here/a.txt", "in/here/dir", "in/here/dir/run.sh"]
    assert stat.S_IMODE((tmp_path / "files/in/here/dir/run.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "files/in/here/a.txt").stat().st_mode) == 0o644


def test_streams_one_after_the_other_and_large_members_are_whole(tree: Tree) -> None:
    data = os.urandom(3 * MIB) + bytes(2 * MIB)
    packed = a_tar(entry("big", data=data))
    safe_extract(io.BytesIO(gzip.compress(packed[:MIB]) + gzip.compress(packed[MIB:]) + bytes(512)), tree, caps=CAPS)
    assert tree.read("big") == data


def test_nothing_that_is_there_is_written_over(tree: Tree) -> None:
    tree.write("dir/kept", b"mine")
    with pytest.raises(Invalid) as refused:
        safe_extract(io.BytesIO(HONEST["zip"]()), tree, caps=CAPS)
    assert refused.value.code == "path_exists"
    assert [e.path for e in tree.list(recursive=True).entries] == ["dir", "dir/kept"]


def test_a_link_in_the_way_leads_nowhere(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "files/in").symlink_to(tmp_path)
    with pytest.raises(AgentrtError):
        safe_extract(io.BytesIO(HONEST["zip"]()), tree, "in", CAPS)
    assert everything(tmp_path) == ["files", "files/in", "secret"]


def test_what_is_under_way_is_not_told(tree: Tree, tmp_path: Path) -> None:
    with tree.writing("in/half.txt") as half:
        half.write(b"half")
        told = [tree.list(recursive=True).entries, tree.glob(".*").entries, tree.glob("**/.*").entries]
        assert [[entry.path for entry in entries] for entries in told] == [["in"], [], []]
        assert tree.snapshot().files == {} and b".agentrt" not in b"".join(tree.zip())
    assert everything(tmp_path / "files") == ["in", "in/half.txt"]


def test_an_archive_goes_into_a_new_folder_once(tree: Tree, tmp_path: Path) -> None:
    safe_extract(io.BytesIO(HONEST["zip"]()), tree, "new/here", CAPS)
    assert everything(tmp_path / "files/new/here") == ["a.txt", "dir", "dir/run.sh"]
    with pytest.raises(Invalid):
        safe_extract(io.BytesIO(HONEST["zip"]()), tree, "new/here", CAPS)
    assert everything(tmp_path / "files") == [
        "new",
        *(f"new/{name}" for name in ("here", "here/a.txt", "here/dir", "here/dir/run.sh")),
    ]
