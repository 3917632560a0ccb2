from .banner import banner
from .main import main

__all__ = ["banner", "main"]
