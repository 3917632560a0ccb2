from .blob import Blob
from .blobs import Blobs
from .fetch import Fetched, ImageFetcher, Resolve, system_resolve
from .inner import Allowed
from .module import Files
from .recent import RecentImages

__all__ = ["Allowed", "Blob", "Blobs", "Fetched", "Files", "ImageFetcher", "RecentImages", "Resolve", "system_resolve"]
