"""What code does, and what is said of it."""

import asyncio

import pytest

from .conftest import Desk, Open

pytestmark = pytest.mark.anyio


async def test_the_kernel_prints_and_says_the_value_of_the_last_expression(desk: Desk) -> None:
    ran = await desk.kernel("print(2 + 2)\n'a' * 3")
    assert (ran.stdout, ran.stderr, ran.outcome.value, ran.outcome.exit_code) == (b"4\n", b"", "'aaa'", 0)
    assert (ran.outcome.ended, ran.outcome.state_lost, ran.outcome.output_bytes) == ("", False, 2)
    assert ran.outcome.duration_ms > 0


async def test_the_kernel_keeps_its_variables_and_one_shots_have_none(desk: Desk) -> None:
    await desk.kernel("x = 5\ndef double(n):\n    return 2 * n")
    assert (await desk.kernel("double(x)")).outcome.value == "10"
    assert (await desk.kernel("_ + 1")).outcome.value == "11"
    assert b"NameError" in (await desk.python("x")).stderr


async def test_a_one_shot_says_the_value_of_its_last_expression_too(desk: Desk) -> None:
    ran = await desk.python("y = 20\nprint(y)\ny + 1")
    assert (ran.stdout, ran.outcome.value, ran.outcome.exit_code) == (b"20\n", "21", 0)


async def test_nothing_and_none_have_no_value(desk: Desk) -> None:
    for code in ("", "# nothing", "x = 1", "None", "print(end='')"):
        ran = await desk.kernel(code)
        assert (ran.outcome.value, ran.outcome.exit_code, ran.stderr) == ("", 0, b"")


async def test_a_huge_value_is_cut(desk: Desk) -> None:
    for code in ("'x' * 10_000_000", "'\\0' * 1_000_000", "'\\U0001F600' * 100_000"):
        ran = await desk.kernel(code)
        assert ran.outcome.exit_code == 0
        assert len(ran.outcome.value) < 10_100
        assert ran.outcome.value.endswith("characters)")
    assert (await desk.kernel("'\\ud800'")).outcome.value == "'\\ud800'"
    assert (await desk.kernel("class Odd:\n    def __repr__(self):\n        return '\\ud800'\nOdd()")).outcome.value == "?"


@pytest.mark.parametrize("mode", ["kernel", "python"])
async def test_a_traceback_shows_the_lines_of_the_code_and_nothing_of_the_runner(desk: Desk, mode: str) -> None:
    ran = await desk.run(mode, "def divide(n):\n    return 1 / n\n\ndivide(0)  # here")
    said = ran.stderr.decode()
    assert ran.outcome.exit_code == 1
    assert said.splitlines()[0] == "Traceback (most recent call last):"
    assert "    return 1 / n" in said
    assert "    divide(0)" in said
    assert said.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert "agentrt_runner" not in said


async def test_functions_of_an_earlier_cell_show_their_lines(desk: Desk) -> None:
    await desk.kernel("def fail():\n    raise LookupError('which')")
    assert b"    raise LookupError('which')\nLookupError: which" in (await desk.kernel("fail()")).stderr


@pytest.mark.parametrize("mode", ["kernel", "python"])
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("a b", b"SyntaxError: invalid syntax"),
        ("x = 1\0", b"null bytes"),
        ("if True:\n1", b"IndentationError"),
        ("raise KeyError('k')", b"KeyError: 'k'"),
        ("(" * 500, b"Error"),
        ("def f(): f()\nf()", b"RecursionError"),
        ("class Rude(Exception):\n    def __str__(self):\n        raise self\nraise Rude", b"Rude"),
        ("import sys\nsys.exit('no')", b"no\n"),
    ],
)
async def test_mistakes_are_ordinary_results(desk: Desk, mode: str, code: str, said: bytes) -> None:
    ran = await desk.run(mode, code)
    assert ran.outcome.exit_code == 1
    assert said in ran.stderr
    assert not ran.outcome.state_lost
    assert (await desk.run(mode, "print('on')")).stdout == b"on\n"


async def test_exit_codes_are_passed_on_and_the_kernel_lives_on(desk: Desk) -> None:
    await desk.kernel("x = 1")
    for code, expected in (("sys.exit(3)", 3), ("sys.exit()", 0), ("raise SystemExit(True)", 1), ("exit(256 + 7)", 7)):
        for mode in ("kernel", "python"):
            code = f"import sys, builtins, site; exit = sys.exit\n{code}"
            assert (await desk.run(mode, code)).outcome.exit_code == expected
    assert (await desk.kernel("x")).outcome.value == "1"
    assert (await desk.bash("exit 9")).outcome.exit_code == 9
    assert (await desk.bash("kill -TERM $$")).outcome.exit_code == -15


async def test_input_reads_the_stdin_of_the_job(desk: Desk) -> None:
    for mode in ("kernel", "python"):
        ran = await desk.run(mode, "print(input('name? ') + '!')\ninput()", stdin=b"ann\nbob\ncyd\n")
        assert (ran.stdout, ran.outcome.value) == (b"name? ann!\n", "'bob'")
    assert b"EOFError" in (await desk.kernel("input()")).stderr
    assert (await desk.kernel("input()", stdin=b"new\n")).outcome.value == "'new'"
    assert (await desk.kernel("input()", stdin="grüße".encode())).outcome.value == "'grüße'"
    assert (await desk.bash("cat", stdin=b"x" * 1_000_000)).stdout == b"x" * 1_000_000
    assert (await desk.bash("head -c 3 /dev/stdin", stdin=b"xyz\n")).stdout == b"xyz"
    assert (await desk.run("command", argv=("wc", "-c"), stdin=b"\0\xff\n")).stdout == b"3\n"


async def test_folder_and_environment_are_those_of_the_job(desk: Desk) -> None:
    (desk.outside / "sub").mkdir(mode=0o777)
    for mode, code in (
        ("kernel", "import os; print(os.getcwd(), os.environ['WHO'])"),
        ("python", "import os; print(os.getcwd(), os.environ['WHO'])"),
        ("bash", 'echo "$PWD $WHO"'),
    ):
        ran = await desk.run(mode, code, cwd=f"{desk.folder}/sub", env={"WHO": "änn\n"})
        assert ran.stdout == f"{desk.folder}/sub änn\n\n".encode()
    assert (await desk.kernel("'WHO' in os.environ")).outcome.value == "False"
    assert (await desk.run("command", argv=("sh", "-c", "echo $WHO"), env={"WHO": "me"})).stdout == b"me\n"


async def test_a_cell_that_moves_stays_where_it_went(desk: Desk) -> None:
    await desk.kernel("import os; os.mkdir('there'); os.chdir('there')")
    assert (await desk.kernel("os.getcwd()")).outcome.value == repr(f"{desk.folder}/there")


@pytest.mark.parametrize("mode", ["kernel", "python", "bash", "command"])
@pytest.mark.parametrize(("key", "value"), [("cwd", "/nowhere"), ("cwd", "/a\0b"), ("env", {"A": "\0"}), ("env", {"A=": "b"})])
async def test_what_cannot_be_set_up_is_an_ordinary_result(desk: Desk, mode: str, key: str, value: object) -> None:
    ran = await desk.run(mode, "1", argv=("true",), **{key: value})
    assert (ran.outcome.exit_code, ran.outcome.state_lost) == (1, False)
    assert ran.stderr.endswith(b"\n")
    assert (await desk.bash("echo on")).stdout == b"on\n"


async def test_modules_of_the_working_folder_can_be_imported(desk: Desk) -> None:
    (desk.outside / "mine.py").write_text("answer = 42")
    (desk.outside / "lib").mkdir()
    (desk.outside / "lib" / "theirs.py").write_text("answer = 43")
    for mode in ("kernel", "python"):
        assert (await desk.run(mode, "import mine; mine.answer")).outcome.value == "42"
        ran = await desk.run(mode, "import theirs; theirs.answer", env={"PYTHONPATH": f"{desk.folder}/lib"})
        assert ran.outcome.value == "43"


async def test_the_main_module_is_the_one_of_the_code(desk: Desk) -> None:
    code = """
import dataclasses, pickle, sys
@dataclasses.dataclass
class Point:
    x: int
print(__name__, Point.__module__, sys.modules["__main__"].Point is Point)
pickle.loads(pickle.dumps(Point(3)))"""
    for mode in ("kernel", "python"):
        ran = await desk.run(mode, code)
        assert (ran.stdout, ran.outcome.value) == (b"__main__ __main__ True\n", "Point(x=3)")


async def test_one_shots_run_their_exit_handlers_and_wait_for_their_threads(desk: Desk) -> None:
    code = """
import atexit, threading
atexit.register(print, "last")
threading.Thread(target=lambda: (threading.main_thread().join(), print("thread"))).start()
print("first")"""
    assert (await desk.python(code)).stdout == b"first\nthread\nlast\n"


async def test_multiprocessing_works(desk: Desk) -> None:
    code = """
import multiprocessing
def work(pipe): pipe.send(6 * 7)
ours, theirs = multiprocessing.Pipe()
child = multiprocessing.get_context("fork").Process(target=work, args=(theirs,))
child.start(); got = ours.recv(); child.join()
got, child.exitcode"""
    for mode in ("kernel", "python"):
        assert (await desk.run(mode, code)).outcome.value == "(42, 0)"


async def test_commands_that_are_not_there_are_said_to_be_missing(desk: Desk) -> None:
    ran = await desk.run("command", argv=("no-such-program", "x"))
    assert ran.outcome.exit_code == 127
    assert ran.stderr == b"no-such-program: No such file or directory\n"
    (desk.outside / "plain.txt").write_text("")
    assert (await desk.run("command", argv=("./plain.txt",))).outcome.exit_code == 126
    assert (await desk.bash("no-such-program")).outcome.exit_code == 127
    assert b"NUL" in (await desk.bash("echo \0")).stderr
    assert (await desk.run("command", argv=("echo", "a\0b"))).outcome.exit_code == 1


async def test_ten_megabytes_of_code_run(desk: Desk) -> None:
    filler = "y" * 10_000_000
    for mode in ("kernel", "python"):
        assert (await desk.run(mode, f"x = '{filler}'\nlen(x)")).outcome.value == "10000000"
    assert (await desk.bash(f"x='{filler}'; echo ${{#x}}")).stdout == b"10000000\n"
    assert (await desk.kernel("x = 1")).outcome.exit_code == 0


async def test_bash_has_the_standard_devices_and_a_broken_pipe_ends_it_silently(desk: Desk) -> None:
    ran = await desk.bash("echo out >/dev/stdout; echo err >/dev/stderr; yes | head -1; trap")
    assert (ran.stdout, ran.stderr, ran.outcome.exit_code) == (b"out\ny\n", b"err\n", 0)


async def test_several_one_shots_run_at_once_and_their_output_stays_apart(desk: Desk) -> None:
    code = "import sys\nfor _ in range(200): print('{0}' * 50); print('{0}', file=sys.stderr)\n'{0}'"
    rans = await asyncio.gather(*(desk.python(code.format(letter)) for letter in "abcdefgh"))
    for letter, ran in zip("abcdefgh", rans, strict=True):
        assert set(ran.stdout.decode()) == {letter, "\n"}
        assert len(ran.stdout) == 200 * 51
        assert set(ran.stderr.decode()) == {letter, "\n"}
        assert ran.outcome.value == repr(letter)


async def test_kernel_jobs_run_one_after_another_and_wait_no_longer_than_their_time(desk: Desk) -> None:
    await desk.kernel("import threading; nap, n = threading.Event().wait, 0")
    add = "m = n; nap(0.02); n = m + 1"
    await asyncio.gather(*(desk.kernel(add) for _ in range(5)))
    assert (await desk.kernel("n")).outcome.value == "5"
    slow = await desk.begun("kernel", "import os\nprint('on')\nwhile not os.path.exists('go'): nap(0.01)")
    late = await desk.kernel("n = 0", wall_s=0.1)
    (desk.outside / "go").touch()
    assert ((await slow).outcome.exit_code, late.outcome.exit_code, late.outcome.ended) == (0, 124, "wall")
    assert (await desk.kernel("n")).outcome.value == "5"


async def test_modules_are_imported_ahead_and_missing_ones_are_named(open_process: Open) -> None:
    async with open_process(AGENTRT_PRELOAD="statistics,no_such_module,decimal") as desk:
        assert desk.link.missing == ("no_such_module",)
        ran = await desk.python("import os, sys; 'statistics' in sys.modules, 'AGENTRT_PRELOAD' in os.environ")
        assert ran.outcome.value == "(True, False)"


async def test_children_do_not_draw_the_same_numbers(open_process: Open) -> None:
    async with open_process(AGENTRT_PRELOAD="random,uuid,tempfile") as desk:
        drawn = {(await desk.python("import random; random.random()")).outcome.value for _ in range(5)}
        assert len(drawn) == 5
