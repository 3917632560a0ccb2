"""The code tools as models see them."""

from typing import Any

from agentrt.agents import Effect
from agentrt.tools import ToolDef

from .tool_outputs import OUTPUTS

MOST_CODE = 1024 * 1024
PACKAGES, MOST_PACKAGES = "/workspace/.packages", 20

_TIMEOUT = {
    "type": "number",
    "exclusiveMinimum": 0,
    "description": "Seconds after which it is stopped; the operator's limit where this is left out.",
}
_PATH = {"type": "string", "minLength": 1, "description": "Path of the file, relative to /workspace."}


def _tool(id_: str, title: str, effect: Effect, description: str, required: tuple[str, ...] = (), **properties: Any) -> ToolDef:
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    output = OUTPUTS[id_]
    return ToolDef(id=id_, title=title, description=description, schema=schema, effect=effect, output_schema=output)


EXECUTE_PYTHON = _tool(
    "execute_python",
    "Execute Python",
    "unsafe",
    "Executes Python 3 in an isolated sandbox, in the folder /workspace. Variables and imports stay for the next call. Returns "
    "what was printed and the value of the last expression; open matplotlib figures are saved as PNG, and files that are written "
    "become artifacts for the user. There is no network unless the operator opened it.",
    ("code",),
    code={"type": "string", "maxLength": MOST_CODE, "description": "The program."},
    timeout_s=_TIMEOUT,
    stateful={
        "type": "boolean",
        "default": True,
        "description": "false: run it in a fresh interpreter, which neither sees nor leaves variables.",
    },
)
EXECUTE_BASH = _tool(
    "execute_bash",
    "Execute Bash",
    "unsafe",
    "Executes a Bash script in the same isolated sandbox, in the folder /workspace. Each call is a new shell; files stay.",
    ("command",),
    command={"type": "string", "maxLength": MOST_CODE, "description": "The command, or a script of many lines."},
    timeout_s=_TIMEOUT,
)
READ_FILE = _tool(
    "read_file",
    "Read a file",
    "read",
    "Reads a text file of the workspace; an image is shown.",
    ("path",),
    path=_PATH,
    offset={"type": "integer", "minimum": 1, "description": "The first line to read, counted from 1."},
    limit={"type": "integer", "minimum": 1, "description": "How many lines to read."},
)
WRITE_FILE = _tool(
    "write_file",
    "Write a file",
    "idempotent",
    "Writes a text file of the workspace, with the folders it needs. A file that is there is replaced.",
    ("path", "content"),
    path=_PATH,
    content={"type": "string", "description": "All that shall be in the file."},
)
EDIT_FILE = _tool(
    "edit_file",
    "Edit a file",
    "unsafe",
    "Replaces a piece of text in a file of the workspace. The piece must occur exactly once, unless replace_all is set.",
    ("path", "old_text", "new_text"),
    path=_PATH,
    old_text={"type": "string", "minLength": 1, "description": "The piece, exactly as it stands in the file."},
    new_text={"type": "string", "description": "What shall stand there instead."},
    replace_all={"type": "boolean", "default": False, "description": "Replace every occurrence."},
)
LIST_FILES = _tool(
    "list_files",
    "List files",
    "read",
    "Lists what is in a folder of the workspace.",
    path={"type": "string", "default": ".", "description": "The folder, relative to /workspace."},
    recursive={"type": "boolean", "default": False, "description": "Also what is in the folders below."},
)
GLOB_FILES = _tool(
    "glob_files",
    "Find files",
    "read",
    "Finds files of the workspace by a pattern such as `*.csv` or `data/**/*.json`.",
    ("pattern",),
    pattern={"type": "string", "minLength": 1, "description": "`*`, `?`, `[…]`, and `**` for any number of folders."},
    path={"type": "string", "default": ".", "description": "The folder to look in, relative to /workspace."},
)
DELETE_FILE = _tool(
    "delete_file",
    "Delete a file",
    "unsafe",
    "Deletes a file of the workspace, or a folder.",
    ("path",),
    path=_PATH,
    recursive={"type": "boolean", "default": False, "description": "Delete a folder with all that is in it."},
)
INSTALL_PACKAGE = _tool(
    "install_package",
    "Install Python packages",
    "idempotent",
    "Installs Python packages into the workspace, for `import` from the next call on.",
    ("packages",),
    packages={
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "minItems": 1,
        "maxItems": MOST_PACKAGES,
        "description": "Names, with a version where it matters: `tabulate`, `rich==13.9.4`.",
    },
)

ALWAYS = (EXECUTE_PYTHON, EXECUTE_BASH, READ_FILE, WRITE_FILE, EDIT_FILE, LIST_FILES, GLOB_FILES, DELETE_FILE)
CODE_TOOLS = tuple(tool.id for tool in (*ALWAYS, INSTALL_PACKAGE))
