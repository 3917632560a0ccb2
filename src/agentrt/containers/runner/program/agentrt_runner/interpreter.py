"""Python in this process: a namespace and streams, which outlive a job."""

import _ast
import builtins
import contextlib
import linecache
import os
import signal
import sys
import traceback
import types

from .figures import Shown, save_figures
from .frames import shorten
from .processes import libc
from .streams import connect, drop, is_intact, open_input, open_output

CELLS_KEPT = 500
INTERRUPTED = 130
HERE = os.path.dirname(__file__)


class Interpreter:
    def __init__(self):
        self._module = types.ModuleType("__main__")
        self._space = self._module.__dict__
        self._space["__builtins__"] = builtins
        self._program = sys.modules["__main__"]  # or its globals would be taken apart
        sys.modules["__main__"] = self._module
        self._pid = os.getpid()
        self._cells = 0
        self._env, self._cwd = {}, None
        self._fed = True
        self._out, self._err = open_output(1), open_output(2)
        Shown.attend()

    def warm(self):
        """Touch the pages that a job will touch, while nobody waits for it."""
        null = os.open("/dev/null", os.O_RDWR)
        self.run({"code": "print(1)\n1", "cwd": "/", "env": {}}, [null, null])
        self.flush()
        self._cells, self._cwd, self._fed = 0, None, True
        del self._space["_"]

    def run(self, job, fds):
        """Run the code of a job; its exit code and value. What goes wrong is told on stderr and is exit code 1."""
        exit_code, value = 1, ""
        try:
            self._prepare(job, fds)
            exit_code, value = self._run_cell(job["code"], f"<cell {self._cells}>")
            if "matplotlib.pyplot" in sys.modules:
                save_figures()
        except KeyboardInterrupt:
            exit_code = INTERRUPTED
        except BaseException as error:
            exit_code = 1
            self._tell(error)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return exit_code, value

    def evaluate(self, code, name):
        """Run a cell; the repr of its last expression, empty where there is none or it is None."""
        tree = compile(code, name, "exec", _ast.PyCF_ONLY_AST, True)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], _ast.Expr) else None  # pyright: ignore
        exec(compile(tree, name, "exec", 0, True), self._space)  # pyright: ignore
        if last is None:
            return ""
        value = eval(compile(_ast.Expression(last.value), name, "eval", 0, True), self._space)
        if value is None:
            return ""
        self._space["_"] = value
        return shorten(repr(value))

    def flush(self):
        """Write out what is buffered; what cannot be is forgotten."""
        for file in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                file.flush()
        libc.fflush(None)
        for file in (self._out, self._err):
            try:
                file.flush()
            except (OSError, ValueError):
                drop(file)

    def _prepare(self, job, fds):
        connect(fds)
        if not is_intact(self._out) or not is_intact(self._err):
            self._out, self._err = open_output(1), open_output(2)
        sys.stdout = sys.__stdout__ = self._out
        sys.stderr = sys.__stderr__ = self._err
        if len(fds) > 2 or self._fed or not is_intact(sys.stdin):
            sys.stdin = sys.__stdin__ = open_input()  # with nothing of an earlier one in its buffer
        self._fed = len(fds) > 2
        self._cells += 1
        change_environment(self._env, job["env"])
        self._env = job["env"]
        if job["cwd"] != self._cwd:  # else where the cells before went
            os.chdir(job["cwd"])
            self._cwd = job["cwd"]

    def _run_cell(self, code, name):
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        linecache.cache.pop(f"<cell {self._cells - CELLS_KEPT}>", None)
        value = ""
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            value = self.evaluate(code, name)
            exit_code = 0
        except SystemExit as error:
            exit_code = self._leave(error.code)
        except BaseException as error:
            exit_code = INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
            self._tell(error)
        if os.getpid() != self._pid:
            # a child that user code forked came out of the cell
            self.flush()
            os._exit(exit_code)
        return exit_code, value

    def _leave(self, code):
        if code is None or isinstance(code, int):
            return (code or 0) & 255
        self._write_error(f"{code}\n")
        return 1

    def _tell(self, error):
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename.startswith(HERE):
            trace = trace.tb_next
        try:
            said = "".join(traceback.format_exception(type(error), error, trace))
        except Exception:
            said = f"{type(error).__name__}, which cannot be shown\n"
        self._write_error(said)

    def _write_error(self, text):
        for step in (self._out.flush, lambda: self._err.write(text), self._err.flush):
            with contextlib.suppress(OSError, ValueError):
                step()


def change_environment(before, after):
    for name in before:
        if name not in after:
            os.environ.pop(name, None)
    os.environ.update(after)
    add_folders(after.get("PYTHONPATH", ""))


def add_folders(folders):
    """Let modules be imported from `a:b`, ahead of what is installed, behind the working folder."""
    for folder in reversed(folders.split(":")):
        if folder and folder not in sys.path:
            sys.path.insert(1, folder)
