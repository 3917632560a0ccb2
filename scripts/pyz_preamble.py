"""Runs inside agentrt.pyz before anything of it is imported: its compiled parts fit one Python version and platform."""

import importlib.machinery
import sys
from pathlib import Path

site_packages: Path = globals()["site_packages"]  # given by shiv
built = next((site_packages / "msgspec").glob("_core*")).name.removeprefix("_core")
if built not in importlib.machinery.EXTENSION_SUFFIXES:
    this = f"Python {sys.version_info[0]}.{sys.version_info[1]} on {sys.platform}"
    sys.exit(f"Error: this agentrt.pyz was built for {built.split('.')[1]} and this is {this}: start it with a Python that fits")
