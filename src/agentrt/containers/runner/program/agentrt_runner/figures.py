"""What matplotlib has drawn."""

import os
import sys


def save_figures():
    """Figures that are open become figure-N.png in the working folder; nothing where matplotlib was not imported. OSError."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    number = 1
    try:
        for figure in pyplot.get_fignums():
            while os.path.lexists(f"figure-{number}.png"):
                number += 1
            pyplot.figure(figure).savefig(f"figure-{number}.png", bbox_inches="tight")
    except Exception as error:
        raise OSError(f"a figure could not be saved: {error}") from None
    finally:
        pyplot.close("all")
