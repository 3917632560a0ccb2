"""Code that prints nonsense, runs on, dies or fills its disk: one clear result each, and the next execution works."""

from collections.abc import Callable
from typing import Any

Desks = Callable[..., Any]


def test_binary_output_is_shown_as_what_it_is_not(desk: Desks) -> None:
    mine = desk("ada")
    done = mine.run("import os; os.write(1, bytes(range(256))); os.write(2, b'\\xc3')")
    assert done["stdout"].startswith("\ufffd\x01\x02") and "\x00" not in done["stdout"]
    assert done["stderr"] == "\ufffd"


def test_characters_that_are_cut_in_two_are_whole(desk: Desks) -> None:
    code = "import os, threading\nfor b in 'aöü€𝄞'.encode():\n    os.write(1, bytes([b])); threading.Event().wait(0.002)"
    assert desk("ada").run(code)["stdout"] == "aöü€𝄞"


def test_endless_output_is_stopped_and_shortened(desk: Desks) -> None:
    mine = desk("bob")
    done = mine.run("while True: print('x' * 100)")
    assert (done["ended"], done["truncated"]) == ("output", True)
    assert len(done["stdout"]) < 70_000 and "characters left out" in done["stdout"]
    assert mine.run("1 + 1")["result"] == "2"


def test_what_takes_too_long_is_stopped_with_what_it_printed(desk: Desks) -> None:
    mine = desk("carol")
    mine.run("kept = 1")
    done = mine.run("import time\nprint('so far', flush=True)\ntime.sleep(60)", timeout_s=2)
    assert (done["ended"], done["stdout"]) == ("wall", "so far\n")
    assert done["exit_code"] != 0
    again = mine.run("kept")
    assert again["result"] == "1" or again["state_lost"]


def test_an_interpreter_that_dies_says_that_its_variables_are_lost(desk: Desks) -> None:
    mine = desk("dora")
    mine.run("x = 1")
    done = mine.run("import os; os._exit(7)")
    assert (done["exit_code"], done["state_lost"]) == (7, True)
    assert mine.run("'x' in globals()")["result"] == "False"


def test_too_much_memory_ends_that_execution_only(desk: Desks) -> None:
    mine, neighbour = desk("emil", session="a"), desk("emil", session="b")
    neighbour.run("y = 5")
    mine.run("open('kept.txt', 'w').write('here')")
    done = mine.ask("x = [b'x' * 10_000_000 for _ in range(1000)]", timeout_s=30)
    if done.status_code == 200:
        assert done.json()["exit_code"] != 0
    assert neighbour.run("y")["result"] == "5"
    again = desk("emil", session="a")
    assert again.run("open('kept.txt').read()")["result"] == "'here'"


def test_figures_become_pictures_that_can_be_downloaded(desk: Desks) -> None:
    mine = desk("fritz")
    done = mine.run("import matplotlib.pyplot as plt\nplt.plot([1, 4, 9])\nplt.title('squares')", timeout_s=60)
    (figure,) = done["artifacts"]
    assert (figure["name"], figure["media_type"]) == ("figure-1.png", "image/png")
    assert mine.client.get(f"/v1/files/{figure['file']}/content").content.startswith(b"\x89PNG")


def test_who_asks_for_its_name_and_its_home_has_both(desk: Desks) -> None:
    done = desk("greta").run("import getpass, pathlib\nf'{getpass.getuser()} {pathlib.Path.home()}'")
    assert done["result"] == "'coderunner /workspace'"


def test_only_so_many_files_are_kept(desk: Desks) -> None:
    done = desk("gina").run("for n in range(30): open(f'{n:02}.txt', 'w').write(str(n))\nopen('.hidden', 'w').write('no')")
    assert [made["name"] for made in done["artifacts"]] == [f"{n:02}.txt" for n in range(20)]
    assert done["not_kept"] == [f"{n:02}.txt" for n in range(20, 30)]


def test_beside_thousands_of_files_a_new_one_is_kept_all_the_same(desk: Desks) -> None:
    mine = desk("gitta")
    mine.run("import os\nos.makedirs('data/images')\nfor n in range(6000): open(f'data/images/{n}', 'w').close()", timeout_s=60)
    done = mine.run("open('chart.png', 'w').write('drawn')\nopen('data/images/7', 'w').write('seen or not')")
    assert "chart.png" in [made["name"] for made in done["artifacts"]]
    assert {made["name"] for made in done["artifacts"]} <= {"chart.png", "data/images/7"}


def test_links_and_fifos_are_no_artifacts(desk: Desks) -> None:
    done = desk("hugo").run("import os\nos.symlink('/etc/passwd', 'passwd')\nos.mkfifo('pipe')\nopen('a', 'w').write('a')")
    assert [made["name"] for made in done["artifacts"]] == ["a"]
