"""What a box may use at most, and that reaching it ends what reached it."""

import asyncio

import pytest

from agentrt.containers.engines import BoxEnded
from agentrt.kernel import Invalid
from fixtures.boxes import Box, Boxes
from fixtures.ends import watching

pytestmark = pytest.mark.anyio

HOG = "memory = []\nwhile True: memory.append(b'x' * 1048576)\n"


async def test_process_1_that_takes_too_much_memory_ends_and_the_engine_tells_why(boxes: Boxes) -> None:
    async with watching(boxes.engine) as ends:
        box = await boxes.start("import sys; print('up', flush=True); sys.stdin.readline()\n" + HOG, limits={"memory_mb": 64})
        await box.says()
        await box.hears("go")
        assert await ends.of(box.id) == BoxEnded(box.id, "oom")


async def test_a_child_that_takes_too_much_memory_ends_and_its_box_goes_on(boxes: Boxes) -> None:
    async with watching(boxes.engine) as ends:
        box = await boxes.start(
            f"import subprocess, sys; print(subprocess.run(['python3', '-I', '-c', {HOG!r}]).returncode, flush=True)\n"
            "sys.stdin.readline()",
            limits={"memory_mb": 64},
        )
        assert await box.says() == "-9"
        await box.hears("end")
        assert await ends.of(box.id) == BoxEnded(box.id, "exited")


async def test_files_in_memory_count_as_memory(boxes: Boxes) -> None:
    async with watching(boxes.engine) as ends:
        box = await boxes.start(
            "f = open('/tmp/big', 'wb')\nfor _ in range(256): f.write(b'x' * 1048576)\nprint('wrote it', flush=True)",
            limits={"memory_mb": 64, "tmp_mb": 1024},
        )
        assert await ends.of(box.id) == BoxEnded(box.id, "oom")
        assert await box.all() == ""


async def test_forks_stop_at_the_limit_of_processes(boxes: Boxes) -> None:
    said = await boxes.run(
        "import time\nn = 1\ntry:\n    while True:\n        if os.fork() == 0: time.sleep(60)\n        n += 1\n"
        "except OSError as error: print(n, error.strerror, flush=True)",
        limits={"pids": 16},
    )
    assert said.splitlines()[0] == "16 Resource temporarily unavailable"


async def test_threads_count_as_processes(boxes: Boxes) -> None:
    said = await boxes.run(
        "import threading, time\nn = 1\ntry:\n    while True:\n"
        "        threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); n += 1\n"
        "except RuntimeError: print(n, flush=True); os._exit(0)",
        limits={"pids": 16},
    )
    assert said == "16\n"


async def test_processor_time_is_shared_out(boxes: Boxes) -> None:
    said = await boxes.run(
        "import time\nstart, used = time.monotonic(), time.process_time()\nwhile time.process_time() < used + 0.4: pass\n"
        "print((time.process_time() - used) / (time.monotonic() - start), flush=True)",
        limits={"cpus": 0.25},
    )
    assert float(said) < 0.4


async def test_tmp_ends_where_it_is_full(boxes: Boxes) -> None:
    said = await boxes.run(
        "import errno\nn = 0\ntry:\n    with open('/tmp/big', 'wb', 0) as f:\n"
        "        while True: f.write(b'x' * 65536); n += 1\n"
        "except OSError as error: print(n * 65536 // 1048576, errno.errorcode[error.errno])\n"
        "os.unlink('/tmp/big')\nn = 0\ntry:\n    while True: open(f'/tmp/{n}', 'w').close(); n += 1\n"
        "except OSError as error: print(n, errno.errorcode[error.errno], flush=True)",
        limits={"tmp_mb": 8},
    )
    assert said.splitlines() == ["8 ENOSPC", "16383 ENOSPC"]


@pytest.mark.parametrize(("name", "value"), [("cpus", 1000.0), ("memory_mb", 1_048_576)])
async def test_a_limit_that_the_machine_cannot_give_is_refused_by_name(boxes: Boxes, name: str, value: float) -> None:
    spec = boxes.spec(program="", limits={name: value})
    with pytest.raises(Invalid) as refused:
        await boxes.engine.start(spec)
    assert refused.value.param == f"limits.{name}"
    assert str(int(value)) in refused.value.message
    assert spec.id not in {box.id for box in await boxes.engine.list({})}


async def test_a_fork_bomb_is_not_noticed_next_door(boxes: Boxes) -> None:
    neighbour = await boxes.start("import sys\nfor line in sys.stdin: print(line, end='', flush=True)")
    bomb = await boxes.start(
        "import sys\nprint('armed', flush=True); sys.stdin.readline()\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        limits={"pids": 64, "cpus": 0.5},
    )
    await bomb.says()
    await bomb.hears("go")

    async def ask(box: Box, n: int) -> None:
        await box.hears(str(n))
        assert await box.says() == str(n)

    async with asyncio.timeout(30):
        for n in range(50):
            await ask(neighbour, n)
    await boxes.engine.remove(bomb.id)
