from .address import exposure, is_loopback
from .data_folder import make_data_folder
from .errors import SettingsInvalid
from .files import read_settings_file
from .layers import Leaf
from .load import load_settings
from .options import LogOptions, Options, Settings

__all__ = [
    "Leaf",
    "LogOptions",
    "Options",
    "Settings",
    "SettingsInvalid",
    "exposure",
    "is_loopback",
    "load_settings",
    "make_data_folder",
    "read_settings_file",
]
