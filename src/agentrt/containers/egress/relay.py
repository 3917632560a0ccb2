import asyncio
from collections.abc import Callable

PIECE = 65_536

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def relay(near: Ends, far: Ends, *, idle_s: float, count: Callable[[int, int], None]) -> None:
    """Carry bytes both ways until both sides have ended theirs, one is lost, or nothing came for `idle_s`. `count` is told
    (out, back) of each piece before it goes on, and ends everything by raising ConnectionError."""
    loop = asyncio.get_running_loop()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, out: bool) -> None:
        while data := await reader.read(PIECE):
            scope.reschedule(loop.time() + idle_s)
            count(len(data) if out else 0, 0 if out else len(data))
            send(writer, data)
            await writer.drain()
        end(writer)

    try:
        async with asyncio.timeout(idle_s) as scope:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(pump(near[0], far[1], True))
                    group.create_task(pump(far[0], near[1], False))
            except* OSError:  # one side is gone: so is the other
                pass
    except TimeoutError:
        return


def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write; ConnectionResetError where that end is closed, which each loop tells in its own way."""
    if writer.transport.is_closing():
        raise ConnectionResetError("the other side is gone")
    writer.write(data)


def end(writer: asyncio.StreamWriter) -> None:
    """Nothing more will be written; fine where that end is closed."""
    if not writer.transport.is_closing() and writer.can_write_eof():
        writer.write_eof()


async def close(writer: asyncio.StreamWriter) -> None:
    """Close, and see it through for a moment."""
    writer.close()
    try:
        async with asyncio.timeout(1):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()
