"""The example configuration and the table of settings say what the models say."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bridge_node.configuration import load
from bridge_node.configuration.outline import ANY_ITEM, Setting, settings
from bridge_node.configuration.problems import dotted
from bridge_node.configuration.reference import as_tables, as_toml, toml
from bridge_node.settings import Settings, Tls

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config/bridge-node.toml"
ALL = list(settings())


def uncommented(text: str) -> dict[str, Any]:
    """The example with its commented settings in force: `#key` is a setting, `# text` is prose."""
    return tomllib.loads(re.sub(r"^#(?=[\[a-z])", "", text, flags=re.MULTILINE))


def test_the_example_loads_and_changes_nothing() -> None:
    assert load(EXAMPLE, {}).settings == Settings()


@pytest.mark.parametrize("setting", ALL, ids=lambda setting: dotted(setting.path))
def test_the_example_names_every_setting_with_its_default(setting: Setting) -> None:
    value: Any = uncommented(EXAMPLE.read_text())
    for step in setting.path:
        value = value[step]
    default = setting.field.default
    if setting.shape.kind == "value" and default is not None and not setting.field.is_required():
        assert toml(value) == toml(default)


def test_every_setting_has_one_line_that_says_what_it_does() -> None:
    unexplained = [
        dotted(setting.path) for setting in ALL if not re.fullmatch(r".+\.", setting.field.description or "")
    ]
    assert unexplained == []


def test_the_example_is_what_the_command_prints() -> None:
    assert EXAMPLE.read_text() == as_toml()


def test_the_documentation_has_a_row_for_every_setting() -> None:
    assert (ROOT / "docs/settings.md").read_text().endswith(as_tables())
    assert as_tables().count("\n| `") == len(ALL)


def test_what_stands_within_a_part_that_needs_a_restart_needs_one_too() -> None:
    (port,) = [setting for setting in ALL if setting.path == ("gateway", "listeners", ANY_ITEM, "port")]
    assert port.restart
    assert all(setting.restart for setting in ALL if setting.path[-1] in Tls.model_fields)
