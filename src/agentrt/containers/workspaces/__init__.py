from .archive import Caps, safe_extract
from .holder import Holder
from .note import Note
from .service import Workspaces
from .shelf import About
from .slots import slots, umount_stale
from .snapshots import Snapshot
from .tree import PART, Entry, Listing, OpenFile, Size, Tree, Usage
from .workspace import Workspace

__all__ = [
    "PART",
    "About",
    "Caps",
    "Entry",
    "Holder",
    "Listing",
    "Note",
    "OpenFile",
    "Size",
    "Snapshot",
    "Tree",
    "Usage",
    "Workspace",
    "Workspaces",
    "safe_extract",
    "slots",
    "umount_stale",
]
