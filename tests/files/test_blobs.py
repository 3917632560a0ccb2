import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from agentrt.files import Blobs
from agentrt.kernel import SYSTEM, NotFound, Principal, Unavailable

pytestmark = pytest.mark.anyio

OpenBlobs = Callable[[], AbstractAsyncContextManager[Blobs]]


def on_disk(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def test_what_is_kept_can_be_had_again_also_after_a_restart(open_blobs: OpenBlobs) -> None:
    async with open_blobs() as blobs:
        file_id = await blobs.put(SYSTEM, "run_a", b"\x89PNG", "image/png", "cat.png")
    async with open_blobs() as blobs:
        blob, data = await blobs.get(SYSTEM, file_id)
        assert (data, blob.media_type, blob.name, blob.size) == (b"\x89PNG", "image/png", "cat.png", 4)
        assert await blobs.describe(SYSTEM, file_id) == blob


async def test_a_name_that_no_column_takes_is_kept_as_far_as_it_can_be(open_blobs: OpenBlobs) -> None:
    async with open_blobs() as blobs:
        file_id = await blobs.put(SYSTEM, "run_a", b"x", "text/\0plain", "a\0b" + "c" * 300)
        blob = await blobs.describe(SYSTEM, file_id)
        assert (blob.media_type, blob.name) == ("text/plain", "ab" + "c" * 253)


async def test_the_same_content_is_stored_once_and_has_one_id(open_blobs: OpenBlobs, tmp_path: Path) -> None:
    async with open_blobs() as blobs:
        ids = await asyncio.gather(*(blobs.put(SYSTEM, f"run_{n % 3}", b"same", "text/plain") for n in range(12)))
        assert len(set(ids)) == 1
        assert len(on_disk(tmp_path / "files")) == 1


async def test_bytes_stay_until_the_last_run_that_refers_to_them_is_gone(open_blobs: OpenBlobs, tmp_path: Path) -> None:
    async with open_blobs() as blobs:
        shared = await blobs.put(SYSTEM, "run_a", b"shared", "text/plain")
        await blobs.put(SYSTEM, "run_b", b"shared", "text/plain")
        await blobs.put(SYSTEM, "run_a", b"only a", "text/plain")
        await blobs.purge(["run_a"])
        assert len(on_disk(tmp_path / "files")) == 1
        assert (await blobs.get(SYSTEM, shared))[1] == b"shared"
        await blobs.purge(["run_b"])
        assert on_disk(tmp_path / "files") == []
        with pytest.raises(NotFound):
            await blobs.get(SYSTEM, shared)


async def test_who_stores_what_is_just_being_removed_still_finds_it(open_blobs: OpenBlobs) -> None:
    async with open_blobs() as blobs:
        file_id = await blobs.put(SYSTEM, "run_0", b"again and again", "text/plain")
        for n in range(20):
            await asyncio.gather(blobs.purge([f"run_{n}"]), blobs.put(SYSTEM, f"run_{n + 1}", b"again and again", "text/plain"))
            assert (await blobs.get(SYSTEM, file_id))[1] == b"again and again"


async def test_another_tenant_s_file_is_not_there(open_blobs: OpenBlobs) -> None:
    async with open_blobs() as blobs:
        file_id = await blobs.put(SYSTEM, "run_a", b"mine", "text/plain")
        with pytest.raises(NotFound):
            await blobs.get(Principal("other"), file_id)


@pytest.mark.parametrize("file_id", ["", "file_", "../../etc/passwd", "file_" + "g" * 32, "file_" + "0" * 32])
async def test_what_is_no_file_is_not_there(open_blobs: OpenBlobs, file_id: str) -> None:
    async with open_blobs() as blobs:
        with pytest.raises(NotFound) as refused:
            await blobs.get(SYSTEM, file_id)
        assert refused.value.code == "file_not_found"


async def test_bytes_that_somebody_removed_are_said_to_be_gone(open_blobs: OpenBlobs, tmp_path: Path) -> None:
    async with open_blobs() as blobs:
        file_id = await blobs.put(SYSTEM, "run_a", b"mine", "text/plain")
        on_disk(tmp_path / "files")[0].unlink()
        with pytest.raises(NotFound, match="are gone"):
            await blobs.get(SYSTEM, file_id)


async def test_a_folder_that_cannot_be_written_is_one_sentence(open_blobs: OpenBlobs, tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file where the folder should be")
    async with open_blobs() as blobs:
        with pytest.raises(Unavailable) as refused:
            await blobs.put(SYSTEM, "run_a", b"x", "text/plain")
        assert refused.value.code == "storage_unavailable" and str(tmp_path) not in refused.value.message
