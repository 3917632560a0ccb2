import pytest

from agentrt.settings import SettingsInvalid

UNREADABLE = (
    "its host and port cannot be read: expected postgresql://USER:PASSWORD@HOST:PORT/NAME,"
    " with %2F for / and %23 for # in a password"
)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("postgres://u:p%40w@h:5432/db", "postgresql+asyncpg://u:p%40w@h:5432/db"),
        ("postgresql://h/db", "postgresql+asyncpg://h/db"),
        ("postgresql+psycopg2://h/db", "postgresql+asyncpg://h/db"),
        ("postgresql+asyncpg://h/db?ssl=require", "postgresql+asyncpg://h/db?ssl=require"),
        ("postgres://h/db?sslmode=require&connect_timeout=5", "postgresql+asyncpg://h/db?ssl=require&timeout=5"),
        ("postgresql:///db?host=/run/postgresql", "postgresql+asyncpg:///db?host=%2Frun%2Fpostgresql"),
        ("sqlite:////var/lib/a.db", "sqlite+aiosqlite:////var/lib/a.db"),
        ("sqlite+aiosqlite:////var/lib/a.db", "sqlite+aiosqlite:////var/lib/a.db"),
    ],
)
def test_one_spelling_comes_of_many(load, said, meant):
    assert load(DATABASE_URL=said).database_url == meant


def test_a_relative_sqlite_path_is_counted_from_the_working_folder(load, tmp_path):
    assert load(DATABASE_URL="sqlite:///kept/a.db").database_url == f"sqlite+aiosqlite:///{tmp_path}/kept/a.db"


def test_what_the_driver_cannot_do_is_dropped_with_notice(load):
    settings = load(DATABASE_URL="postgres://h/db?channel_binding=require&sslmode=require")
    assert settings.database_url == "postgresql+asyncpg://h/db?ssl=require"
    assert settings.notices == ("the database address's parameter channel_binding is not supported and was dropped",)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("mysql://root:hunter2@h/db", "agentrt keeps its data in SQLite or PostgreSQL, not in 'mysql'"),
        ("hunter2", "expected postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE"),
        ("sqlite://", "a database in memory keeps nothing: name a file, as in sqlite:///agentrt.db"),
        ("sqlite:///:memory:", "a database in memory keeps nothing: name a file, as in sqlite:///agentrt.db"),
        ("sqlite://kept/a.db", "a SQLite address has three slashes before a relative path and four before an absolute one"),
        ("postgres://u:hunter2@h:port/db", UNREADABLE),
        ("postgres://u:hunter2/#@h/db", UNREADABLE),
        ("postgres://u:hunter2@h", "the address names no database: expected postgresql://USER:PASSWORD@HOST/NAME"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_repeating_its_password(load, said, why):
    with pytest.raises(SettingsInvalid) as caught:
        load(DATABASE_URL=said)
    assert caught.value.message == f"environment variable DATABASE_URL: {why}"
