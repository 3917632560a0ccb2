from .blob import Blob
from .blobs import Blobs
from .fetch import Fetched, ImageFetcher
from .module import Files
from .recent import RecentImages

__all__ = ["Blob", "Blobs", "Fetched", "Files", "ImageFetcher", "RecentImages"]
