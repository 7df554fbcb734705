"""The config file: below the command line and the environment, above the defaults; mistakes name the nearest key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import RunVidsearch


def value_of(command: RunVidsearch, name: str) -> tuple[object, str]:
    rows = json.loads(command("config", "--json", env={"VIDSEARCH_MODEL": ""}).stdout)["options"]
    row = next(row for row in rows if row["name"] == name)
    return row["value"], row["source"]


def test_a_value_is_set_shown_and_taken_back(command: RunVidsearch, own_home: Path) -> None:
    file = own_home / "config.toml"
    assert command("config", "path").stdout.decode() == f"{file}\n"
    assert value_of(command, "query.top") == (10, "default")
    told = command("config", "set", "query.top", "3")
    assert told.stderr.decode() == f"query.top = 3 in {file}\n"
    file.write_text("# mine\n" + file.read_text())
    assert command("config", "set", "model", "conse-lite2").returncode == 0
    assert file.read_text() == '# mine\nmodel = "conse-lite2"\n\n[query]\ntop = 3\n'
    assert value_of(command, "query.top") == (3, "config file")
    assert value_of(command, "index.model") == ("conse-lite2", "config file, model")
    assert value_of(command, "ask.model")[1] == "default"
    assert command("config", "unset", "query.top").returncode == 0
    assert value_of(command, "query.top") == (10, "default")


def test_a_file_with_a_byte_order_mark_is_read_and_changed(command: RunVidsearch, own_home: Path) -> None:
    file = own_home / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text("[query]\ntop = 2\n", "utf-8-sig")
    assert value_of(command, "query.top") == (2, "config file")
    assert command("config", "set", "query.top", "3").returncode == 0
    assert value_of(command, "query.top") == (3, "config file")


def test_the_environment_counts_more_and_the_command_line_most(
    command: RunVidsearch, own_home: Path, clips_library: Path
) -> None:
    config = own_home / "c.toml"
    config.parent.mkdir(exist_ok=True)
    config.write_text('model = "no-such-model"\n[query]\ntop = 2\n')
    env = {"VIDSEARCH_CONFIG": str(config), "VIDSEARCH_HOME": str(clips_library)}
    two = command(
        "query", "a purple star", "--all", env=env
    )  # VIDSEARCH_MODEL is set, the model of the file is not used
    assert len(two.stdout.splitlines()) == 2, two.stderr
    assert len(command("query", "a purple star", "--all", "-k", "1", env=env).stdout.splitlines()) == 1
    unknown_model = command("query", "a purple star", env=env | {"VIDSEARCH_MODEL": ""})
    assert unknown_model.returncode == 5
    assert b"no-such-model" in unknown_model.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[query]\ntopp = 3\n", "has 'topp' among [query]: it is not known; did you mean top?"),
        ("[qery]\ntop = 3\n", "has 'qery' among the tables: it is not known; did you mean query?"),
        ("modell = 'x'\n", "has 'modell' among the keys at the top: it is not known; did you mean model?"),
        ("[models.pul]\nhalf = true\n", "has 'pul' among [models]: it is not known; did you mean pull?"),
        ("top = = 3\n", "is not valid TOML: Invalid value (at line 1, column 7)."),
        ("\xff", "is not valid TOML: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte."),
    ],
    ids=["key", "table", "top", "nested", "syntax", "bytes"],
)
def test_a_mistake_in_the_file_is_one_sentence(command: RunVidsearch, own_home: Path, text: str, says: str) -> None:
    file = own_home / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text.encode("latin-1"))
    told = command("info")
    assert (told.returncode, told.stderr.decode()) == (2, f"vidsearch: The config file {file} {says}\n")


def test_a_home_that_is_a_file_is_told_as_what_it_is(command: RunVidsearch, own_home: Path) -> None:
    own_home.write_text("not a folder")
    told = command("index", own_home.parent)
    assert (told.returncode, told.stdout) == (4, b"")
    assert f"cannot make the library folder {own_home}" in told.stderr.decode()
    assert command("models", "list").returncode == 0


def test_a_value_that_does_not_fit_names_the_file(command: RunVidsearch, own_home: Path) -> None:
    own_home.mkdir(exist_ok=True)
    (own_home / "config.toml").write_text('[query]\ntop = "many"\n')
    told = command("query", "a star")
    assert told.returncode == 2
    assert f"(in the config file {own_home / 'config.toml'})" in told.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("query.topp", "3"), "query.topp cannot be set: it is not known; did you mean query.top?"),
        (("top", "3"), "top cannot be set: it is not known; did you mean query.top or similar.top or sheet.top?"),
        (("foo", "3"), "foo cannot be set: it is not known; vidsearch config lists what can be set."),
        (("query.top", "many"), "valid integer"),
        (("query.top", "0"), "greater than or equal to 1"),
        (("query.all", "perhaps"), "query.all is a switch: true or false"),
        (("query.top", "1", "2"), "query.top takes one value"),
    ],
)
def test_what_cannot_be_set_is_refused(
    command: RunVidsearch, own_home: Path, arguments: tuple[str, ...], says: str
) -> None:
    told = command("config", "set", *arguments)
    assert told.returncode == 2
    assert says in told.stderr.decode()
    assert not (own_home / "config.toml").exists()
