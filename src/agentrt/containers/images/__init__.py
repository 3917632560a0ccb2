from .image import Image
from .keeper import ImageKeeper
from .recipe import NAME as REPOSITORY
from .service import Images

__all__ = ["REPOSITORY", "Image", "ImageKeeper", "Images"]
