from .egress import Egress
from .gateway import Application
from .grant import Grant
from .inside import PORT, base_url, environment
from .links import INDEX
from .ports import Ports

__all__ = ["INDEX", "PORT", "Application", "Egress", "Grant", "Ports", "base_url", "environment"]
