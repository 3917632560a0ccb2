from .address import exposure, is_loopback
from .errors import SettingsInvalid
from .files import read_settings_file
from .load import SECRETS, load_settings
from .options import LogOptions, Options, Settings

__all__ = [
    "SECRETS",
    "LogOptions",
    "Options",
    "Settings",
    "SettingsInvalid",
    "exposure",
    "is_loopback",
    "load_settings",
    "read_settings_file",
]
