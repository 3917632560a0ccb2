from .kind import Kind, Versioned, version_of
from .scan import Loaded, Scan, files_of, load, scan, why_nothing
from .service import ConfigStore
from .yaml_document import BadDocument, Document, Problem, fit, parse

__all__ = [
    "BadDocument",
    "ConfigStore",
    "Document",
    "Kind",
    "Loaded",
    "Problem",
    "Scan",
    "Versioned",
    "files_of",
    "fit",
    "load",
    "parse",
    "scan",
    "version_of",
    "why_nothing",
]
