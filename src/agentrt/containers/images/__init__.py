from .image import Image
from .keeper import ImageKeeper
from .service import Images

__all__ = ["Image", "ImageKeeper", "Images"]
