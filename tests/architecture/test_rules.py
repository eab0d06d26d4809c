"""Rules of docs/architecture.md that are about single lines, and so beyond what the import contracts can see."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "bridge_node"

CLOCKS_AND_DICE = {
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "datetime.now",
    "datetime.datetime.now",
    "os.urandom",
    "secrets.token_bytes",
    "secrets.token_hex",
    "uuid.uuid4",
}
HTTP_LIBRARIES = {"httptools", "aiohttp", "requests", "urllib3", "http.client", "urllib.request"}
MAY_SPEAK_HTTP = (
    "gateway/server.py",
    "gateway/connection.py",
    "gateway/head.py",
    "gateway/request_body.py",
    "backends/transport.py",
    "backends/connection.py",
    "admin.py",
    "agent/",
    "platform/clouds/",  # SDKs connect to what is checked there
    "cli/",
)
MAY_READ_ENVIRONMENT = ("configuration/loading.py", "cli/")  # commands hand it on

SUPPRESSION = re.compile(r"#\s*(noqa|type:\s*ignore)")
EXPLAINED = re.compile(r"#\s*(noqa: [A-Z0-9, ]*[0-9]|type:\s*ignore\[[a-z, -]+\])\s+(#|-) \S")

Lines = Iterator[tuple[int, str]]


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def _violations(
    rule: Callable[[ast.Module], Lines], *, only: tuple[str, ...] = ("",), but: tuple[str, ...] = ()
) -> list[str]:
    """Where `rule` finds something in the package: in files whose name starts with one of `only` and none of `but`."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith(only) and not (but and name.startswith(but)):
            found += [f"{name}:{line}: {what}" for line, what in rule(ast.parse(path.read_text()))]
    return found


def test_protocols_and_crypto_take_time_and_chance_as_arguments() -> None:
    def rule(tree: ast.Module) -> Lines:
        return ((node.lineno, call) for call, node in _calls(tree) if call in CLOCKS_AND_DICE)

    assert _violations(rule, only=("protocols/", "crypto/")) == []


def test_http_is_spoken_only_at_the_edges() -> None:
    def rule(tree: ast.Module) -> Lines:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            else:
                continue
            yield from ((node.lineno, m) for m in modules if {m, m.split(".")[0]} & HTTP_LIBRARIES)

    assert _violations(rule, but=MAY_SPEAK_HTTP) == []


def test_the_environment_is_read_only_at_the_edge() -> None:
    def rule(tree: ast.Module) -> Lines:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv"}:
                yield node.lineno, ast.unparse(node)

    assert _violations(rule, but=MAY_READ_ENVIRONMENT) == []


def test_every_task_has_a_name() -> None:
    def rule(tree: ast.Module) -> Lines:
        for call, node in _calls(tree):
            if call.endswith("create_task") and "name" not in {keyword.arg for keyword in node.keywords}:
                yield node.lineno, call

    assert _violations(rule) == []


def test_every_silenced_warning_names_its_code_and_its_reason() -> None:
    unexplained = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in ("bridge_node", "tests", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if SUPPRESSION.search(line) and not EXPLAINED.search(line)
    ]
    assert unexplained == []


def test_every_ignored_lint_rule_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    ignored = text[text.index("ignore = [") :].split("]", 1)[0]
    assert [line for line in ignored.splitlines()[1:] if line.strip() and "#" not in line] == []
