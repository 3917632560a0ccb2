"""Which settings exist, and how a value becomes one: shared by the environment, the settings file and the flags."""

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from .errors import did_you_mean

Place = tuple[str, ...]

_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
_WORDS: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}
_LIMITS = (("ge", "at least {}"), ("gt", "more than {}"), ("le", "at most {}"), ("min_length", "at least {} long"))


def fields_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Names and annotated types of a struct's fields."""
    return get_type_hints(struct, include_extras=True)


def child(of: Any, name: str) -> Any:
    """The type of what is called `name` within the type `of`; KeyError with a suggestion where nothing is."""
    bare = _bare(of)
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        fields = fields_of(bare)
        if name not in fields:
            raise KeyError(did_you_mean(name, fields))
        return fields[name]
    if get_origin(bare) is dict:
        return get_args(bare)[1]
    if bare is Any:
        return Any
    raise KeyError("")


def is_branch(of: Any) -> bool:
    """Whether a value of this type has named parts of its own."""
    bare = _bare(of)
    return get_origin(bare) is dict or (isinstance(bare, type) and issubclass(bare, msgspec.Struct))


def from_text(text: str, of: Any) -> Any:
    """The value that `text` means as an `of`; ValueError says what was expected. Lists are separated by commas."""
    bare = _bare(of)
    if bare is Any or bare is str:
        return _convert(text, of)
    if get_origin(bare) is tuple:
        return tuple(item.strip() for item in text.split(",") if item.strip())
    if bare is bool and text.strip().lower() in _TRUE | _FALSE:
        return text.strip().lower() in _TRUE
    return _convert(text.strip(), of, strict=False)


def from_data(value: Any, of: Any) -> Any:
    """`value` as an `of`, unchanged in kind; ValueError says what was expected."""
    return _convert(value, of)


def _convert(value: Any, of: Any, *, strict: bool = True) -> Any:
    try:
        return msgspec.convert(value, of, strict=strict, dec_hook=_decode_path)
    except (msgspec.ValidationError, NotImplementedError, TypeError) as exc:
        raise ValueError(f"expected {expected(of)}, got {'nothing' if value is None else repr(value)}") from exc


def _decode_path(of: type, value: Any) -> Any:
    if of is Path and isinstance(value, str) and value:
        return Path(value)
    raise TypeError


def expected(of: Any) -> str:
    """A type in words: `one of debug, info`, `a whole number, at least 1`."""
    bare = _bare(of)
    if get_origin(bare) is Literal:
        return f"one of {', '.join(get_args(bare))}"
    if get_origin(bare) is tuple:
        return "a list of texts"
    words = _WORDS.get(bare, "a mapping")
    limits = [text.format(limit) for meta in _metas(of) for name, text in _LIMITS if (limit := getattr(meta, name)) is not None]
    return ", ".join([words, *limits])


def _bare(of: Any) -> Any:
    """Without annotations and without `| None`."""
    while True:
        if get_origin(of) is Annotated:
            of = get_args(of)[0]
        elif get_origin(of) in (Union, types.UnionType):
            of = next(arg for arg in get_args(of) if arg is not types.NoneType)
        else:
            return of


def _metas(of: Any) -> Iterator[msgspec.Meta]:
    if get_origin(of) is Annotated:
        yield from (extra for extra in get_args(of)[1:] if isinstance(extra, msgspec.Meta))
    for arg in get_args(of) if get_origin(of) in (Annotated, Union, types.UnionType) else ():
        yield from _metas(arg)
