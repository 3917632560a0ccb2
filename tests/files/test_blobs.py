import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from agentrt.db import Database, metadata
from agentrt.files import Blobs
from agentrt.kernel import SYSTEM, Conflict, Invalid, NotFound, Principal, SystemClock, TooLarge, Unavailable

pytestmark = pytest.mark.anyio

OpenBlobs = Callable[..., AbstractAsyncContextManager[Blobs]]


def on_disk(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "swept")


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


async def uploaded(blobs: Blobs, data: bytes = b"data", name: str = "a.txt", who: Principal = SYSTEM, **more: object) -> str:
    async with blobs.receiving() as upload:
        await upload.write(data)
        return (await blobs.keep(who, upload, "text/plain", name, **{"purpose": "user_data", **more})).id


async def nothing_began(run_ids: Sequence[str]) -> set[str]:
    return set()


async def test_what_is_streamed_in_is_the_same_file_as_what_came_at_once(open_blobs: OpenBlobs, tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    async with open_blobs() as blobs:
        blob, stored = await blobs.get(SYSTEM, await uploaded(blobs, data, "chart.png"))
        assert (blob.size, blob.name, blob.media_type, stored) == (len(data), "chart.png", "text/plain", data)
        await blobs.put(SYSTEM, "run_a", data, "image/png", "chart.png")
    assert len(on_disk(tmp_path / "files")) == 1


async def test_what_is_too_large_or_breaks_off_leaves_nothing(open_blobs: OpenBlobs, tmp_path: Path) -> None:
    async with open_blobs(max_upload_bytes=3_000_000) as blobs:
        with pytest.raises(TooLarge) as refused:
            await uploaded(blobs, bytes(3_000_001))
        assert refused.value.code == "file_too_large"
        with pytest.raises(LookupError):
            async with blobs.receiving() as upload:
                await upload.write(bytes(3_000_000))
                raise LookupError
        await uploaded(blobs, bytes(3_000_000))
    assert len(on_disk(tmp_path / "files")) == 1


async def test_every_upload_is_a_file_of_its_own_over_bytes_that_are_stored_once(open_blobs: OpenBlobs, tmp_path: Path) -> None:
    async with open_blobs() as blobs:
        one, two = await uploaded(blobs, name="one"), await uploaded(blobs, name="two")
        await blobs.put(SYSTEM, "run_a", b"data", "text/plain")
        assert one != two and (await blobs.describe(SYSTEM, one)).name == "one"
        assert len(on_disk(tmp_path / "files")) == 1
        await blobs.delete(SYSTEM, one)
        with pytest.raises(NotFound):
            await blobs.delete(SYSTEM, one)
        await blobs.purge(["run_a"])
        assert (await blobs.get(SYSTEM, two))[1] == b"data"
        await blobs.delete(SYSTEM, two)
    assert on_disk(tmp_path / "files") == []


async def test_what_belongs_to_a_run_is_not_deleted_by_itself(open_blobs: OpenBlobs) -> None:
    async with open_blobs() as blobs:
        file_id = await blobs.put(SYSTEM, "run_a", b"x", "text/plain")
        with pytest.raises(Conflict):
            await blobs.delete(SYSTEM, file_id)
        assert (await blobs.list(SYSTEM)).blobs == []


async def test_an_upload_is_its_user_s_and_one_of_nobody_in_particular_the_tenant_s(open_blobs: OpenBlobs) -> None:
    anna, bert, other = Principal(user="anna"), Principal(user="bert"), Principal("other")
    async with open_blobs() as blobs:
        hers, everybodys = await uploaded(blobs, who=anna), await uploaded(blobs)
        seen = {who: [blob.id for blob in (await blobs.list(who)).blobs] for who in (anna, bert, SYSTEM, other)}
        assert seen == {anna: [everybodys, hers], bert: [everybodys], SYSTEM: [everybodys, hers], other: []}
        for ask in (blobs.describe, blobs.get, blobs.locate, blobs.open, blobs.delete):
            with pytest.raises(NotFound):
                await ask(bert, hers)
        _, source = await blobs.open(anna, hers)
        with source:
            await blobs.delete(anna, hers)
            assert source.read() == b"data"


async def test_uploads_are_listed_in_pages_both_ways(open_blobs: OpenBlobs) -> None:
    async with open_blobs() as blobs:
        ids = [await uploaded(blobs, name=str(n), purpose="vision" if n % 2 else "user_data") for n in range(5)]
        first = await blobs.list(SYSTEM, limit=2)
        assert ([blob.id for blob in first.blobs], first.has_more) == ([ids[4], ids[3]], True)
        rest = await blobs.list(SYSTEM, limit=5, after=ids[3])
        assert ([blob.id for blob in rest.blobs], rest.has_more) == ([ids[2], ids[1], ids[0]], False)
        assert [blob.id for blob in (await blobs.list(SYSTEM, order="asc", after=ids[1])).blobs] == ids[2:]
        with pytest.raises(Invalid) as refused:
            await blobs.list(SYSTEM, after="file.txt")
        assert refused.value.param == "after"
        assert [blob.id for blob in (await blobs.list(SYSTEM, purpose="vision")).blobs] == [ids[3], ids[1]]


async def test_an_upload_whose_time_is_over_is_gone_at_once_and_its_bytes_soon(open_blobs: OpenBlobs, tmp_path: Path) -> None:
    async with open_blobs() as blobs:
        over, stays = await uploaded(blobs, b"over", lasts_s=0), await uploaded(blobs, b"stays", lasts_s=3600)
        with pytest.raises(NotFound):
            await blobs.describe(SYSTEM, over)
        assert [blob.id for blob in (await blobs.list(SYSTEM)).blobs] == [stays]
        await blobs.sweep(nothing_began)
        assert [path.read_bytes() for path in on_disk(tmp_path / "files")] == [b"stays"]


async def test_what_a_crash_left_is_swept_at_the_next_start(open_blobs: OpenBlobs, tmp_path: Path) -> None:
    files = tmp_path / "files"

    async def begun(run_ids: Sequence[str]) -> set[str]:
        return {"run_begun"} & set(run_ids)

    async with open_blobs() as blobs:
        never = await blobs.put(SYSTEM, "run_never", b"its run never began", "text/plain")
        lives = await blobs.put(SYSTEM, "run_begun", b"its run began", "text/plain")
        kept = await uploaded(blobs, b"uploaded")
    (files / "incoming" / "half").write_bytes(b"half of an upload")
    (files / "ab").mkdir(exist_ok=True)
    (files / "ab" / ("c" * 62)).write_bytes(b"its rows are gone already")
    async with open_blobs() as blobs:
        await blobs.clear()
        of_now = await blobs.put(SYSTEM, "run_new", b"its run is about to begin", "text/plain")
        await blobs.sweep(begun)
        await blobs.sweep(begun)
        for file_id in (lives, kept, of_now):
            await blobs.get(SYSTEM, file_id)
        with pytest.raises(NotFound):
            await blobs.describe(SYSTEM, never)
    assert len(on_disk(files)) == 3


async def test_a_start_looks_only_at_what_came_since_the_last_one(open_blobs: OpenBlobs) -> None:
    asked: list[str] = []

    async def begun(run_ids: Sequence[str]) -> set[str]:
        asked.extend(run_ids)
        return set(run_ids)

    for n in range(3):
        async with open_blobs() as blobs:
            await blobs.sweep(begun)
            await blobs.put(SYSTEM, f"run_{n}", b"x", "text/plain")
    assert asked == ["run_0", "run_1"]


async def test_files_come_and_go_while_a_sweep_is_under_way(open_blobs: OpenBlobs) -> None:
    async with open_blobs() as blobs:
        for n in range(10):
            putting = [blobs.put(SYSTEM, f"run_{n}", f"{n} {k}".encode(), "text/plain") for k in range(20)]
            *ids, _ = await asyncio.gather(*putting, blobs.sweep(nothing_began))
            for file_id in ids:
                await blobs.get(SYSTEM, file_id)


async def test_what_must_survive_a_power_loss_is_stored_the_same(tmp_path: Path) -> None:
    db = Database(f"sqlite+aiosqlite:///{tmp_path / 'agentrt.db'}", synchronous="full")
    async with db.write() as conn:
        await conn.run_sync(metadata.create_all)
    blobs = Blobs(tmp_path / "files", db, SystemClock())
    file_id = await blobs.put(SYSTEM, "run_a", b"x", "text/plain")
    assert (await blobs.get(SYSTEM, file_id))[1] == b"x" and list((tmp_path / "files/incoming").iterdir()) == []
    await db.close()
