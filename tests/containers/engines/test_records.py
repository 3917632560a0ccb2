import os
import time
from pathlib import Path

from agentrt.containers.engines.records import Records


def test_what_is_left_of_a_box_that_was_never_noted_goes_away_later(tmp_path: Path) -> None:
    """A server killed between two calls leaves it; one that is just starting a box must keep it."""
    records = Records(tmp_path / "boxes")
    records.write("aaaaaaaa", {"of": "mine"})
    for name in ("bbbbbbbb", "cccccccc", "no box!"):
        (tmp_path / "boxes" / name).mkdir()
    (tmp_path / "boxes/bbbbbbbb/box.json.new").write_text("{")
    for name in ("aaaaaaaa", "bbbbbbbb", "no box!"):
        os.utime(tmp_path / "boxes" / name, (time.time() - 120,) * 2)
    assert [record.id for record in records.all()] == ["aaaaaaaa"]
    assert sorted(os.listdir(tmp_path / "boxes")) == ["aaaaaaaa", "cccccccc", "no box!"]
