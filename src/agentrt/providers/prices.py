"""Which price a model has: what the settings say, else what genai-prices knows."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
import structlog

from .price import Price

log = structlog.get_logger()

_PROGRAM = Path(__file__).with_name("price_list.py")
# The list is read behind a server that already runs; who needs it earlier gets it at once.
_REST_S = 1.0
_PATIENCE_S = 10.0
_MOST = 1000


class Dated(msgspec.Struct, frozen=True, array_like=True):
    """A price, and when it holds: from a day on, between two times of day; both in UTC."""

    since: str | None
    begin: str | None
    end: str | None
    price: Price

    def holds(self, day: str, hour: str) -> bool:
        if self.since is not None and day < self.since:
            return False
        if self.begin is None or self.end is None:
            return True
        return self.begin <= hour < self.end if self.begin <= self.end else hour >= self.begin or hour < self.end


class Listed(msgspec.Struct, frozen=True, array_like=True):
    """A model of the list: the clause that says which names are its own, its context in tokens, its prices; of those that
    hold the last one counts."""

    clause: Any
    context: int | None
    prices: tuple[Dated, ...]

    def price(self, now: float) -> Price | None:
        if len(self.prices) < 2:
            return self.prices[0].price if self.prices else None
        moment = time.gmtime(now)
        day, hour = time.strftime("%Y-%m-%d", moment), time.strftime("%H:%M:%S", moment)
        holding = next((dated for dated in reversed(self.prices) if dated.holds(day, hour)), None)
        return (holding or self.prices[0]).price


class Prices:
    """Answers from memory once the list is there. `overrides` are globs of `provider/model`: the first that fits counts.
    Models that are not `listable` are never looked for in the list, so nobody waits for it on their account."""

    def __init__(self, overrides: Mapping[str, Price], listable: Callable[[str, str], bool]) -> None:
        self._overrides, self._listable = dict(overrides), listable
        self._lists: dict[str, list[Listed]] = {}
        self._found: dict[tuple[str, str], Listed | None] = {}
        self._elsewhere: set[tuple[str, str]] = set()  # models in which the list has no say
        self._wanted, self._there = asyncio.Event(), asyncio.Event()

    def of(self, provider: str, model: str) -> Price | None:
        """The price now; None where nobody knows it, or the list is not there yet (`settled` waits for it)."""
        price = self._said(provider, model)
        if price is None and (listed := self._look_up(provider, model)) is not None:
            return listed.price(time.time())
        return price

    def context(self, provider: str, model: str) -> int | None:
        """Tokens that a request may have, as the list says."""
        listed = self._look_up(provider, model)
        return None if listed is None else listed.context

    def want(self, models: Iterable[tuple[str, str]]) -> None:
        """Somebody will ask for the prices of these soon."""
        if self._wanted.is_set():
            return
        for model in models:
            if model in self._elsewhere:  # asked before every call: not worth judging an address again
                continue
            if self._listable(*model):
                self._wanted.set()
                return
            if len(self._elsewhere) < _MOST:
                self._elsewhere.add(model)

    async def settled(self, provider: str, model: str) -> None:
        """Return once `of` has its last word on this model; at once where the list has no say in it."""
        if not self._there.is_set() and self._listable(provider, model) and self._said(provider, model) is None:
            await self.listed()

    async def listed(self) -> None:
        """Return once the list is there, or cannot be had; after ten seconds at most."""
        if self._there.is_set():
            return
        self._wanted.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await self._there.wait()

    async def load(self, providers: Mapping[str, str]) -> None:
        """Read the list for these providers, by name and address; the server starts in peace meanwhile."""
        if not providers:
            self._there.set()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_REST_S):
                await self._wanted.wait()
        try:
            self._lists = await _read_list(providers)
            self._found.clear()
            log.debug("prices.listed", models=sum(map(len, self._lists.values())))
        except (OSError, TimeoutError, msgspec.DecodeError, PriceListFailed) as exc:
            log.warning("prices.not_listed", reason=f"{type(exc).__name__}: {exc}")
        finally:
            self._there.set()

    def _said(self, provider: str, model: str) -> Price | None:
        name = f"{provider}/{model}"
        return next((price for glob, price in self._overrides.items() if fnmatchcase(name, glob)), None)

    def _look_up(self, provider: str, model: str) -> Listed | None:
        key = (provider, model)
        if key not in self._found:
            if len(self._found) >= _MOST:  # callers may name any model
                self._found.clear()
            name, models = model.lower(), self._lists.get(provider, ()) if self._listable(provider, model) else ()
            self._found[key] = next((one for one in models if _fits(one.clause, name)), None)
        return self._found[key]


class PriceListFailed(Exception):
    """The program that reads the list ended with an error."""


async def _read_list(providers: Mapping[str, str]) -> dict[str, list[Listed]]:
    """What `price_list.py` prints of these."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        async with asyncio.timeout(_PATIENCE_S):
            out, said, code = await asyncio.to_thread(_run, msgspec.json.encode(providers), started)
    finally:
        for process in started:
            process.kill()
    if code:
        raise PriceListFailed(said.decode(errors="replace").strip().rpartition("\n")[2])
    return msgspec.json.decode(out, type=dict[str, list[Listed]])


def _run(asked: bytes, started: "list[subprocess.Popen[bytes]]") -> tuple[bytes, bytes, int]:
    """In a thread: whoever is cancelled while asyncio starts a program has none to end, and nobody buries it."""
    with subprocess.Popen(
        [sys.executable, "-P", _PROGRAM],  # -P: the modules beside the program have names of their own
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    ) as process:
        started.append(process)
        return *process.communicate(asked), process.returncode


def _fits(clause: Any, model: str) -> bool:
    """Whether the clause is about this model; `model` is in lower case."""
    word, about = clause
    match word:
        case "starts":
            return model.startswith(about.lower())
        case "ends":
            return model.endswith(about.lower())
        case "contains":
            return about.lower() in model
        case "equals":
            return model == about.lower()
        case "regex":
            return re.search(about, model) is not None
        case "or":
            return any(_one_of(about, model))
        case _:
            return all(_one_of(about, model))


def _one_of(clauses: Iterable[Any], model: str) -> Iterable[bool]:
    return (_fits(clause, model) for clause in clauses)
