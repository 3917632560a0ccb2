"""The composition root: the one place that knows every module."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec
import structlog
from litestar import Request
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp

from agentrt import __version__
from agentrt.agents import AgentSpec, SandboxRule, SessionRule, check
from agentrt.bus import Bus, ConfigChanged
from agentrt.configs import ConfigStore, Kind, fit
from agentrt.containers import ContainerOptions, Containers, Egress, runtime_of
from agentrt.db import Database, Migrations, Ownership
from agentrt.files import Blobs, Files, ImageFetcher, RecentImages
from agentrt.http import Edge, Health, JsonRequest, LeanLitestar, docs_routes, health_routes, on_error, openapi
from agentrt.journal import Journal
from agentrt.kernel import Module, ModuleHealth, Principal, SystemClock, Unavailable, foreign_modules, new_id, share
from agentrt.mcp_registry import McpRegistry, McpServers, McpServerSpec, servers_in
from agentrt.mcp_server import McpServer
from agentrt.messages import Message, ToolCall
from agentrt.metrics import CountedRequests, Metrics, Tallies
from agentrt.openai_api import OpenAIApi
from agentrt.providers import Abilities, OfflineRules, Price, ProviderEntry, Providers, entries_from, own_wires
from agentrt.runs import (
    Acceptance,
    Activity,
    Catalogue,
    Claims,
    EmbeddingRuns,
    Engine,
    Inlined,
    ModelCaller,
    PromptSource,
    Runs,
    RunService,
    RunTable,
    Scheduler,
    ToolCaller,
    ToolRunResult,
    ToolRuns,
    direct,
    inline_files,
    project,
)
from agentrt.sessions import Sessions, SessionService, SessionTable
from agentrt.settings import Settings, is_loopback, make_data_folder
from agentrt.skills import Skills, SkillsModule
from agentrt.tools import BuiltinTools, ToolBox

log = structlog.get_logger()

ENTRY_POINTS = "agentrt.modules"
OPTIONAL = ("mcp_registry", "containers", "mcp_server")
CLOCK = SystemClock()


class Services(msgspec.Struct, frozen=True):
    """What a module from elsewhere may build on."""

    settings: Settings
    bus: Bus
    configs: ConfigStore
    journal: Journal
    blobs: Blobs
    providers: Providers
    tools: ToolBox
    runs: RunService
    tool_runs: ToolRuns
    sessions: SessionService
    skills: Skills
    prompts: PromptSource
    tallies: Tallies


class Application:
    """The server's parts, opened. `asgi` answers requests; `drain` is called once when the server must go down."""

    def __init__(self, settings: Settings, services: Services, scheduler: Scheduler, registry: McpRegistry | None) -> None:
        self.settings, self.services = settings, services
        self._scheduler, self._registry = scheduler, registry
        self.containers: Containers | None = None
        self.modules: list[Module] = []
        self.draining = False
        self.asgi: ASGIApp

    async def drain(self) -> None:
        """Refuse new requests, let steps in flight reach their outcome up to the grace period, end every stream."""
        self.draining = True
        self.services.bus.close()
        self.services.journal.end_tails()
        await self._scheduler.drain()

    def default_model(self) -> tuple[str, str, tuple[str, ...]]:
        """The default agent, the model it uses now as `provider/model`, and why better ones are passed over."""
        name = self.settings.default_agent
        found = self.services.configs.find("agents", name)
        if found is None and self.services.configs.problems():
            return name, "", (f"the agent {name} is not loaded; /health names the problem",)
        if found is None:
            return name, "", (f"no agent has this name; there are {', '.join(self.services.configs.current('agents'))}",)
        choice = self.services.providers.choose(found.spec.entries)
        return found.name, choice.name, choice.skipped

    def gauges(self) -> dict[str, float]:
        """What `/metrics` says of this moment."""
        return {"runs_active": self._scheduler.active, "runs_queued": self._scheduler.queued}

    def health(self) -> Health:
        modules = {module.name: module.health() for module in self.modules}
        for name in OPTIONAL:
            modules.setdefault(name, ModuleHealth("off", "switched off"))
        trouble = self.services.journal.trouble()
        modules["database"] = ModuleHealth("failed", trouble) if trouble else ModuleHealth("ok")
        agent, model, skipped = self.default_model()
        bad = any(health.status in ("degraded", "failed") for health in modules.values())
        return Health(
            status="degraded" if bad or self.draining else "healthy",
            version=__version__,
            mcp_server_connected=self._registry.connected() if self._registry else False,
            client_initialized=self.containers is not None and self.containers.answers,
            active_runs=self._scheduler.active,
            queued_runs=self._scheduler.queued,
            default_agent={"name": agent, "model": model, "skipped": skipped},
            modules=modules,
        )


@asynccontextmanager
async def open_application(settings: Settings) -> AsyncIterator[Application]:
    """Open every part in order; leaving closes them in reverse. Invalid, Conflict, Unavailable where one cannot be opened."""
    async with AsyncExitStack() as stack:
        make_data_folder(settings.data_dir)
        named = settings.modules.keys() - OPTIONAL
        if named and (strangers := named - {point.name for point in entry_points(group=ENTRY_POINTS)}):
            log.warning("modules.unknown", named=sorted(strangers), optional=OPTIONAL)
        bus = Bus()
        stack.callback(bus.close)
        db = await _open_database(settings, stack)
        configs = await stack.enter_async_context(ConfigStore(db, bus, CLOCK, _kinds(settings)))
        fetcher = _fetcher(settings)
        providers = await stack.enter_async_context(_providers(settings, configs, bus, fetcher))
        services, scheduler, registry = await _build_runs(settings, stack, db, bus, configs, providers, fetcher)
        app = Application(settings, services, scheduler, registry)
        app.modules += [configs, providers]
        if settings.enabled("containers"):
            app.containers = _containers(settings, services, lambda: app.asgi)
        metrics = Metrics(services.tallies, bus, app.gauges)
        skills = SkillsModule(services.skills, app.containers.sandboxes.views if app.containers else tuple)
        files = Files(services.blobs, services.journal.begun)
        outer = [_openai_api(settings, services), _mcp_server(settings, services, app.containers), metrics]
        own = [registry, app.containers, skills, files, Sessions(), *outer]
        for module in [*own, *foreign_modules(ENTRY_POINTS, settings.enabled, services)]:
            if module is not None:
                app.modules.append(await stack.enter_async_context(module))
                for source in module.tools:
                    services.tools.add(source)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(group.create_task(_follow_rules(bus, configs, providers), name="follow offline rules").cancel)
        # last, because runs that are taken up again need everything else
        app.modules.append(await stack.enter_async_context(Runs(services.runs, scheduler, services.tools, bus)))
        app.asgi = _asgi(app)
        yield app


async def _open_database(settings: Settings, stack: AsyncExitStack) -> Database:
    """The database, this server's alone, with the newest schema."""
    db = Database(settings.database_url, synchronous=settings.durability)
    stack.push_async_callback(db.close)
    await stack.enter_async_context(Ownership(db).hold())
    await Migrations(share()).upgrade(db)
    return db


async def _build_runs(
    settings: Settings,
    stack: AsyncExitStack,
    db: Database,
    bus: Bus,
    configs: ConfigStore,
    providers: Providers,
    fetcher: ImageFetcher,
) -> tuple[Services, Scheduler, McpRegistry | None]:
    sessions_table, runs_table = SessionTable(db), RunTable(db)
    tallies = Tallies()
    projectors = (project, sessions_table.project)
    journal = await stack.enter_async_context(Journal(db, bus, CLOCK, projectors, (tallies.see,)))
    blobs = Blobs(settings.data_dir / "files", db, CLOCK, max_upload_bytes=settings.max_file_bytes)
    box = ToolBox([BuiltinTools(CLOCK)], blobs.put)
    sessions = SessionService(journal, sessions_table, CLOCK)
    catalogue = Catalogue(configs, settings.default_agent)
    skills = _skills(settings)
    registry = _registry(settings, configs, bus, blobs) if settings.enabled("mcp_registry") else None
    prompts = PromptSource(registry.prompt if registry else _no_prompt)
    acceptance = Acceptance(catalogue, providers, sessions, box, blobs, fetcher, CLOCK, skills, prompts)

    async def inline(who: Principal, messages: Sequence[Message]) -> Inlined:
        return await inline_files(blobs, who, messages)

    models = ModelCaller(journal, providers.follow, inline, providers.facts.cost)
    engine = Engine(journal, CLOCK, new_id("boot"), models, ToolCaller(box), box)
    scheduler = Scheduler(
        journal,
        runs_table,
        engine,
        acceptance,
        catalogue,
        max_active=settings.max_active_runs,
        grace_s=settings.shutdown_grace_s,
    )
    runs = RunService(journal, runs_table, scheduler, acceptance, sessions, blobs, CLOCK)
    calls = ToolRuns(journal, scheduler, catalogue, box, Claims(runs_table, CLOCK))
    services = Services(settings, bus, configs, journal, blobs, providers, box, runs, calls, sessions, skills, prompts, tallies)
    return services, scheduler, registry


def _skills(settings: Settings) -> Skills:
    agents = settings.config if settings.config.is_dir() else settings.config.parent
    # boxes see where a folder comes from, and shall not see whose home that is in
    views = runtime_of(settings.data_dir / "containers") if settings.enabled("containers") else settings.data_dir
    return Skills(settings.skills, agents, views / "skills")


def _registry(settings: Settings, configs: ConfigStore, bus: Bus, blobs: Blobs) -> McpRegistry:
    env = {**settings.env, **({"MCP_SERVER_URL": settings.mcp_server_url} if settings.mcp_server_url else {})}

    def servers() -> dict[str, McpServerSpec]:
        documents = [entry.spec for entry in configs.current("mcp").values()] or [McpServers()]
        folder = settings.mcp_config.parent
        return {name: spec for document in documents for name, spec in servers_in(document, folder=folder, env=env).items()}

    return McpRegistry(servers, bus=bus, blobs=blobs, env=settings.env)


async def _no_prompt(who: Principal, server: str, prompt: str) -> str:
    raise Unavailable("the module mcp_registry is switched off")


def _containers(settings: Settings, services: Services, application: Callable[[], ASGIApp]) -> Containers:
    options = fit(settings.containers, ContainerOptions, "containers")

    def sight(agent: AgentSpec) -> Mapping[str, Path]:
        skills = services.skills.view(agent)
        return {} if skills is None else {"skills": skills}

    async def call(who: Principal, sandbox: SandboxRule, call: ToolCall, **details: Any) -> ToolRunResult:
        return await services.tool_runs.call(who, direct("sandbox", sandbox), call, **details)

    return Containers(
        options,
        settings.data_dir / "containers",
        bus=services.bus,
        blobs=services.blobs,
        clock=CLOCK,
        caller=call,
        sight=sight,
        egress=Egress(options.upstreams, settings.env, application, services.runs.record),
    )


def _openai_api(settings: Settings, services: Services) -> OpenAIApi:
    return OpenAIApi(
        services.runs,
        services.configs,
        services.providers,
        services.tools,
        EmbeddingRuns(services.journal, services.providers, services.runs.parent_of),
        CLOCK,
        default_agent=settings.default_agent,
        bare_models=settings.bare_models,
        max_body_bytes=settings.max_body_bytes,
    )


def _mcp_server(settings: Settings, services: Services, containers: Containers | None) -> McpServer | None:
    if not settings.enabled("mcp_server"):
        return None
    return McpServer(
        services.tool_runs,
        services.runs,
        services.configs,
        services.blobs,
        services.skills,
        services.prompts,
        services.bus,
        sandboxes=containers.sandboxes if containers else None,
        agent=settings.mcp_agent,
        agents=settings.mcp_agents,
        max_body_bytes=settings.max_body_bytes,
    )


async def _follow_rules(bus: Bus, configs: ConfigStore, providers: Providers) -> None:
    with bus.subscribe(ConfigChanged) as changes:
        async for change in changes:
            if change.kind == "offline":
                providers.set_rules(_rules(configs))


def _kinds(settings: Settings) -> list[Kind[Any]]:
    def amend(spec: AgentSpec) -> AgentSpec:
        if (model := settings.default_model) and spec.name == settings.default_agent:
            # a bare id stands for the same model of whichever provider
            others = (entry for entry in spec.entries if model not in (entry.model, entry.model.partition("/")[2]))
            spec = msgspec.structs.replace(spec, model=(model, *others))
        if settings.session_timeout_s and spec.session.idle_timeout == SessionRule().idle_timeout:
            session = msgspec.structs.replace(spec.session, idle_timeout=settings.session_timeout_s)
            spec = msgspec.structs.replace(spec, session=session)
        return spec

    rules = settings.offline_rules
    return [
        Kind(
            name="agents",
            type=AgentSpec,
            paths=(settings.config,),
            names=lambda spec: (spec.name, *spec.aliases),
            check=check,
            amend=amend,
        ),
        Kind(name="mcp", type=McpServers, paths=(settings.mcp_config,), optional=True, stored=False),
        Kind(name="offline", type=OfflineRules, paths=(rules,) if rules else (), optional=True),
    ]


def _fetcher(settings: Settings) -> ImageFetcher:
    images = settings.images
    return ImageFetcher(max_bytes=images.max_bytes, timeout_s=images.timeout_s, inner_hosts=images.inner_hosts)


def _providers(settings: Settings, configs: ConfigStore, bus: Bus, fetcher: ImageFetcher) -> Providers:
    """The providers of environment and settings; Invalid names the setting that is wrong."""
    configured = fit(own_wires(settings.providers), dict[str, ProviderEntry], "providers")
    return Providers(
        entries_from(settings.env, configured),
        _rules(configs),
        bus=bus,
        abilities=fit(settings.models, dict[str, Abilities], "models"),
        prices=fit(settings.prices, dict[str, Price], "prices"),
        fetch_image=RecentImages(fetcher).as_data,
    )


def _rules(configs: ConfigStore) -> list[OfflineRules]:
    return [entry.spec for entry in configs.current("offline").values()]


def _asgi(app: Application) -> ASGIApp:
    settings, services = app.settings, app.services
    activity = Activity(services.runs, services.bus)

    def who(request: Request[Any, Any, Any]) -> Principal:
        return request.scope["state"]["who"]

    async def erase_session(who: Principal, session_id: str, force: bool) -> None:
        await services.runs.erase_session(who, session_id, force)
        if app.containers is not None:
            await app.containers.sandboxes.erase(who, session_id)

    dependencies: Mapping[str, Callable[..., Any]] = {
        "blobs": lambda: services.blobs,
        "runs": lambda: services.runs,
        "sessions": lambda: services.sessions,
        "activity": lambda: activity,
        "erase_session": lambda: erase_session,
    }
    provided = {name: Provide(give, sync_to_thread=False) for name, give in dependencies.items()}
    handlers = [handler for module in app.modules for handler in module.routes]
    litestar = LeanLitestar(
        [
            *health_routes(app.health, lambda: not app.draining and not services.journal.trouble(), __version__),
            *docs_routes(),
            *handlers,
        ],
        dependencies=provided | {"who": Provide(who, sync_to_thread=False)},
        exception_handlers={Exception: on_error, HTTPException: on_error},
        request_class=JsonRequest,
        request_max_body_size=settings.max_body_bytes,
        openapi_config=openapi(),
        logging_config=None,
    )
    edge = Edge(
        litestar,
        strict=is_loopback(settings.host),
        hosts=settings.allowed_hosts,
        origins=settings.allowed_origins,
        draining=lambda: app.draining,
        foreign=lambda port: app.containers is not None and app.containers.publishes(port),
    )
    return CountedRequests(edge, services.tallies.requests.add)
