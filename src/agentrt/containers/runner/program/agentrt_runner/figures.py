"""What matplotlib has drawn."""

import importlib.machinery
import os
import sys

PYPLOT = "matplotlib.pyplot"


def save_figures(*_, **__):
    """Figures that are open become figure-N.png in the working folder, and are closed; nothing where matplotlib was not imported.
    OSError."""
    pyplot = sys.modules.get(PYPLOT)
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


class Shown:
    """Lets `pyplot.show()` save what it would show, as notebooks do: what is drawn after it is another figure."""

    @staticmethod
    def attend():
        if PYPLOT in sys.modules:
            _take_over(sys.modules[PYPLOT])
        else:
            sys.meta_path.insert(0, Shown())

    def find_spec(self, name, path=None, target=None):
        if name != PYPLOT:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                _take_over(module)

            spec.loader.exec_module = exec_module
        return spec


def _take_over(pyplot):
    pyplot.show = save_figures
