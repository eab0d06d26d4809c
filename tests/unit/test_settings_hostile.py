"""Whatever is written, it is read or refused with lines to read: never a traceback, never without end."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bridge_node.configuration import ConfigurationError, Problem, load
from bridge_node.configuration.outline import settings
from bridge_node.settings import Settings

NAMES = sorted({step for setting in settings() for step in setting.path if isinstance(step, str)})
WORDS = ["", "s3", "local", "memory", "disk", "READ", "https://me:pw@host:1", "host:99999", "http://[", "/", "\0", "\n"]

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=5)
        | st.sampled_from(["file", "env", "name"]).flatmap(lambda kind: st.fixed_dictionaries({kind: inner}))
    ),
    max_leaves=20,
)
backends = st.dictionaries(
    st.sampled_from(["a", "b"]), st.fixed_dictionaries({"kind": st.sampled_from(WORDS), "root": values}) | values
)
repositories = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.fixed_dictionaries({"buckets": st.lists(values, max_size=2) | values, "keys": values}) | values,
)
trees = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(Settings.model_fields, values)
    | {"backends": backends | values, "repositories": repositories | values},
)


def problems(environment: dict[str, str]) -> tuple[Problem, ...]:
    try:
        load(Path("/dev/null"), environment)
    except ConfigurationError as refused:
        return refused.problems
    return ()


@given(trees)
def test_any_configuration_is_read_or_refused_in_single_lines(tree: dict[str, Any]) -> None:
    environment = {f"BRIDGE_NODE__{name.upper()}": json.dumps(value) for name, value in tree.items()}
    assert not any({"\n", "\0"} & set(str(problem)) for problem in problems(environment))


@given(st.dictionaries(st.text(max_size=20).map("BRIDGE_NODE__".__add__), st.text(max_size=20), max_size=4))
def test_any_variables_are_read_or_refused_by_their_name(environment: dict[str, str]) -> None:
    assert all(problem.origin in environment for problem in problems(environment))
