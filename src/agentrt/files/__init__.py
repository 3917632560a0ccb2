from .blob import Blob
from .blobs import Blobs

__all__ = ["Blob", "Blobs"]
