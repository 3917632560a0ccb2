"""What holds the house together and no linter knows: faces, sizes, names, and nothing of the machine it was built on."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "agentrt"
OURS = [
    file
    for folder in ("src", "migrations", "examples", "bench", "tests")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if "build" not in file.relative_to(ROOT).parts
]
PACKAGES = sorted(face.parent for face in SOURCE.glob("*/__init__.py"))
REFUSED_NAMES = {"runtime", "manager", "core", "base", "common", "utils", "util", "helpers", "helper", "misc"}
# What serves the system itself (recovery, reapers, the fold of a journal) and therefore every tenant at once.
SERVE_THE_SYSTEM = {
    "Blobs.clear",
    "Blobs.purge",
    "Blobs.receiving",
    "Blobs.sweep",
    "FileTable.expire",
    "FileTable.forget",
    "FileTable.referred_to",
    "FileTable.runs_since",
    "RunService.sweep",
    "RunTable.forget",
    "RunTable.forget_claims",
    "RunTable.unfinished",
    "SessionService.history",
    "SessionService.part",
    "SessionService.place",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), str(file))


def shown(file: Path) -> str:
    return str(file.relative_to(ROOT))


def functions(file: Path) -> Iterator[tuple[str, int]]:
    """Every function with its length in lines."""
    for node in ast.walk(tree(file)):
        if isinstance(node, Function):
            yield f"{shown(file)}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def imported_modules(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


def test_packages_are_entered_by_their_face() -> None:
    inside = [
        f"{shown(file)}:{line} {module}"
        for file in sorted(SOURCE.rglob("*.py"))
        for line, module in imported_modules(file)
        if module.startswith("agentrt.") and module.count(".") > 1
    ]
    assert inside == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_face_is_a_table_of_contents(package: Path) -> None:
    imported: list[str] = []
    listed: list[str] = []
    for node in tree(package / "__init__.py").body:
        match node:
            case ast.ImportFrom():
                imported += [alias.asname or alias.name for alias in node.names]
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                listed = ast.literal_eval(node.value)
            case ast.Expr(value=ast.Constant(value=str())):
                pass
            case _:
                pytest.fail(f"{shown(package)}/__init__.py:{node.lineno} is more than imports and __all__")
    assert sorted(listed) == sorted(imported)
    assert listed == sorted(listed, key=_constants_classes_functions)


def _constants_classes_functions(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_files_stay_short() -> None:
    lines = {shown(file): len(file.read_text().splitlines()) for file in OURS}
    assert {name: count for name, count in lines.items() if count > 400} == {}


def test_functions_stay_short() -> None:
    written = [file for file in OURS if file.parent != ROOT / "migrations" / "versions"]
    lengths = dict(entry for file in written for entry in functions(file))
    assert {name: length for name, length in lengths.items() if length > 60} == {}
    ours = dict(entry for file in SOURCE.rglob("*.py") for entry in functions(file))
    long = sorted((length, name) for name, length in ours.items() if length >= 30)
    assert len(long) <= len(ours) / 10, long


def test_what_has_no_home_is_a_missing_noun() -> None:
    words = {file: set(re.split(r"[_.]", file.stem.lower())) for file in [*OURS, *SOURCE.iterdir()]}
    assert [shown(file) for file, parts in words.items() if parts & REFUSED_NAMES] == []


def test_every_task_has_an_owner() -> None:
    """A task that nobody awaits loses its errors; a TaskGroup's `create_task` is the only way to start one."""
    loose = []
    for file in OURS:
        for node in ast.walk(tree(file)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            loop = re.search(r"asyncio$|loop(\(\))?$", ast.unparse(node.func.value))
            if node.func.attr == "ensure_future" or (node.func.attr == "create_task" and loop):
                loose.append(f"{shown(file)}:{node.lineno}")
    assert loose == []


def test_what_serves_people_asks_who_they_are_first() -> None:
    """Services take a Principal, stores the tenant, before anything else; what does not is on a short list above."""
    files = [file for package in ("files", "runs", "sessions") for file in (SOURCE / package).glob("*.py")]
    anybody = {
        f"{owner.name}.{method.name}"
        for file in files
        if file.stem in {"service", "store", "blobs"}
        for owner in ast.walk(tree(file))
        if isinstance(owner, ast.ClassDef)
        for method in owner.body
        if isinstance(method, ast.AsyncFunctionDef) and not method.name.startswith("_")
        if [argument.arg for argument in method.args.args[1:2]] not in (["who"], ["tenant"])
    }
    assert anybody == SERVE_THE_SYSTEM


def test_tests_wait_for_conditions_and_patch_nothing() -> None:
    """`sleep(0)` gives way to others; a minute and more is a body that must be cut short; anything between is a guess. Stand-ins
    for servers, beside the tests, may take their time."""
    patched = re.compile(r"monkeypatch\.setattr|unittest\.mock")
    nap = re.compile(r"(\w+\.)*sleep\((?!0\)|[1-9]\d+\))")
    guesses = [
        f"{shown(file)}:{node.lineno} {said}"
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        if file != Path(__file__)
        for node in ast.walk(tree(file))  # programs that a test runs elsewhere are text to it
        if isinstance(node, ast.Call | ast.Import | ast.ImportFrom) and (said := ast.unparse(node))
        if patched.match(said) or patched.search(said.partition("(")[0]) or nap.match(said)
    ]
    assert guesses == []


def test_nothing_names_the_machine_or_a_registry() -> None:
    # written in pieces, so that this file is not found itself
    pieces = ("pypi .org", "python hosted", "npm js", "debian .org", "/wo rk/", "/fa rm/", "(?<!emit-)index -url")
    named = re.compile("|".join(piece.replace(".", r"\.").replace(" ", "") for piece in pieces))
    found = [
        f"{name}:{number}"
        for name in _repository()
        for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), 1)
        if named.search(line)
    ]
    assert found == []


def test_locks_hold_names_versions_and_hashes_only() -> None:
    for lock in [*ROOT.glob("requirements*.lock"), *ROOT.glob("bench/*/requirements.lock")]:
        for line in lock.read_text().splitlines():
            assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*==[^ ]+( ; [^:]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line), line


def _repository() -> list[str]:
    """What belongs to the repository: what git would commit, or every file where there is no git."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listing.returncode == 0:
        return [name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]
    hidden = {".venv", "dist", "build", "data", "results", "__pycache__"}
    return [shown(file) for file in ROOT.rglob("*") if file.is_file() and not hidden & set(file.relative_to(ROOT).parts)]
