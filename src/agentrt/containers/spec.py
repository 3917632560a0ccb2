"""What the settings say about containers. The configuration reference is made from these types."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MIB = 1024 * 1024


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True): ...


class Limits(Spec, frozen=True):
    """What one container may use. A limit that is reached ends the code that reached it, and nothing else."""

    memory_mb: Annotated[int, Meta(ge=32, le=1_048_576, description="Memory, files under /tmp included; there is no swap.")] = 512
    pids: Annotated[int, Meta(ge=8, le=32_768, description="Processes and threads at once.")] = 128
    cpus: Annotated[float, Meta(ge=0.05, le=1024, description="Processor cores.")] = 1.0
    wall_s: Annotated[float, Meta(gt=0, le=86_400, description="Seconds that one execution may take.")] = 120.0
    cpu_s: Annotated[float, Meta(gt=0, le=86_400, description="Processor seconds that one execution may take.")] = 120.0
    output_bytes: Annotated[
        int, Meta(ge=1024, le=1024 * MIB, description="Bytes of output that one execution may write; then it is ended.")
    ] = 10 * MIB
    tmp_mb: Annotated[int, Meta(ge=1, le=1_048_576, description="Size of /tmp.")] = 64
    disk_mb: Annotated[int, Meta(ge=8, le=10_485_760, description="Size of a workspace.")] = 1024
    inodes: Annotated[int, Meta(ge=64, le=100_000_000, description="Files and folders that a workspace may hold.")] = 65_536


class PoolSpec(Spec, frozen=True):
    """A kind of container, and how many of them are kept ready."""

    image: Annotated[str, Meta(description="Image; empty means the one that `agentrt image build` made last.")] = ""
    command: Annotated[
        tuple[str, ...], Meta(description="What runs in it as process 1 and dials home; empty means the resident runner.")
    ] = ()
    preload: Annotated[tuple[str, ...], Meta(description="Python modules that the runner imports before it is handed out.")] = ()
    min: Annotated[int, Meta(ge=0, le=1000, description="Containers kept warm, that nobody has used yet.")] = 2
    max: Annotated[int, Meta(ge=1, le=10_000, description="Containers of this kind at once, warm ones included.")] = 50
    max_per_user: Annotated[
        int,
        Meta(
            ge=1, le=10_000, description="Containers that one user may have at once; another one takes the place of an idle one."
        ),
    ] = 20
    refill_per_s: Annotated[float, Meta(gt=0, le=100, description="Containers started a second, at most.")] = 5.0
    queue: Annotated[int, Meta(ge=0, le=100_000, description="Callers that may wait for a container; more are refused.")] = 100
    queue_wait_s: Annotated[float, Meta(ge=0, le=3600, description="Seconds that a caller waits before it is refused.")] = 30.0
    pause_after_s: Annotated[float, Meta(gt=0, le=86_400, description="Idle seconds after which a container is paused.")] = 60.0
    remove_after_s: Annotated[
        float, Meta(gt=0, le=604_800, description="Idle seconds after which it is removed; its workspace stays.")
    ] = 1800.0
    start_timeout_s: Annotated[float, Meta(gt=0, le=600, description="Seconds in which a new container must dial home.")] = 30.0
    limits: Limits = Limits()


class Upstream(Spec, frozen=True):
    """Something outside that code may call through its proxy. The credential is added outside the container."""

    origin: Annotated[str, Meta(description="`https://host` or `http://host:port`; nothing else of it is taken.")]
    methods: Annotated[tuple[str, ...], Meta(description="Methods that are let through.")] = ("GET", "POST")
    paths: Annotated[tuple[str, ...], Meta(description="Globs of paths that are let through.")] = ("/*",)
    header: Annotated[str, Meta(description="The header that carries the credential, such as `authorization`.")] = ""
    value: Annotated[str, Meta(description="Its value; `${NAME}` stands for a variable of the server's environment.")] = ""
    requests_per_minute: Annotated[int, Meta(ge=1, description="Requests of one sandbox in a minute.")] = 600
    bytes_per_day: Annotated[int, Meta(ge=1024, description="Bytes, both ways, of one sandbox in a day.")] = 1024 * MIB


class ContainerOptions(Spec, frozen=True):
    """`containers:` of the settings."""

    engine: Annotated[
        Literal["auto", "docker", "bubblewrap", "none"],
        Meta(description="auto takes the first that answers and can enforce limits of memory and processes."),
    ] = "auto"
    docker_url: Annotated[str, Meta(description="Address of the Docker API, or of Podman's.")] = "unix:///var/run/docker.sock"
    runtime: Annotated[str, Meta(description="Name of the engine's runtime, such as `runsc`; empty means its default.")] = ""
    build_image: Annotated[bool, Meta(description="Build the image behind the running server where it is missing.")] = False
    packages: Annotated[tuple[str, ...], Meta(description="Python packages of the image that `agentrt image build` makes.")] = (
        "numpy",
        "pandas",
        "matplotlib",
        "sympy",
        "requests",
        "openpyxl",
    )
    pools: Annotated[dict[str, PoolSpec], Meta(description="Pools by name; `code` is the one of the code tools.")] = (
        msgspec.field(default_factory=lambda: {"code": PoolSpec()})
    )
    upstreams: Annotated[
        dict[str, Upstream], Meta(description="What agents may be allowed to call from their code, by name.")
    ] = {}
    tools_dir: Annotated[str, Meta(description="A folder of the operator's tools, mounted read-only at /tools.")] = ""
    wheels_dir: Annotated[str, Meta(description="A folder of wheels that `install_package` installs from.")] = ""
    index_path: Annotated[
        str,
        Meta(pattern=r"^/([A-Za-z0-9._~+-]+/)*$", description="Where the upstream `packages` has its index; it ends with `/`."),
    ] = "/simple/"
    keep_free_mb: Annotated[
        int, Meta(ge=0, description="MiB that stay free on the disk of the workspaces: no new one is made below that.")
    ] = 1024
    keep_workspaces_s: Annotated[float, Meta(gt=0, description="Seconds for which an unused workspace is kept.")] = 30 * 86_400.0
