"""The bands of the package: errors <- PURE <- I/O <- SHELL <- cli, proved on the syntax trees of every module."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(proxy.__file__).parent

ERRORS, PURE, IO, SHELL, CLI = range(5)
BANDS = {
    ERRORS: ("proxy.errors",),
    PURE: (
        "proxy",  # the map: a docstring
        "proxy.config.environments",
        "proxy.config.inventory",
        "proxy.config.live",
        "proxy.config.models",
        "proxy.config.oddities",
        "proxy.config.outline",
        "proxy.config.problems",
        "proxy.config.salvage",
        "proxy.config.secret",
        "proxy.config.translate",
        "proxy.config.units",
        "proxy.disk",
        "proxy.doctor.certificate",
        "proxy.doctor.clock",
        "proxy.doctor.finding",
        "proxy.doctor.grant",
        "proxy.doctor.probe",
        "proxy.doctor.report",
        "proxy.doctor.secrets",
        "proxy.exchange",
        "proxy.http",
        "proxy.observer",
        "proxy.printable",
        "proxy.relay.breaker",
        "proxy.relay.echoes",
        "proxy.relay.guard",
        "proxy.relay.rate",
        "proxy.relay.records",
        "proxy.routing",
        "proxy.tokens.answers",
        "proxy.tokens.explain",
        "proxy.tokens.grants",
        "proxy.tokens.history",
        "proxy.tokens.logins",
        "proxy.tokens.newcomers",
        "proxy.tokens.policy",
        "proxy.tokens.redis_scripts",
        "proxy.tokens.rejection",
        "proxy.tokens.report",
        "proxy.tokens.schedule",
        "proxy.tokens.store",
        "proxy.tokens.stored",
        "proxy.tokens.token",
        "proxy.traffic.covers",
        "proxy.traffic.decode",
        "proxy.traffic.finder",
        "proxy.traffic.fold",
        "proxy.traffic.heads",
        "proxy.traffic.live",
        "proxy.traffic.names",
        "proxy.traffic.record",
        "proxy.traffic.redact",
        "proxy.traffic.seal",
        "proxy.traffic.spelling",
        "proxy.traffic.tally",
        "proxy.traffic.values",
        "proxy.traffic.variants",
        "proxy.traffic.verify",
    ),
    IO: (
        "proxy.ca",
        "proxy.certificates",
        "proxy.config",
        "proxy.descriptors",
        "proxy.hangup",
        "proxy.lock",
        "proxy.ownership",
        "proxy.process",
        "proxy.program",
        "proxy.relay",
        "proxy.resolver",
        "proxy.tasks",
        "proxy.threads",
        "proxy.tls",
        "proxy.tokens",
        "proxy.traffic",
        "proxy.version",
    ),
    SHELL: (
        "proxy.admin",
        "proxy.audit",
        "proxy.ca.founding",
        "proxy.ca.usage",
        "proxy.changeover",
        "proxy.control",
        "proxy.demo",
        "proxy.doctor",
        "proxy.interception",
        "proxy.logs",
        "proxy.reload",
        "proxy.renewal",
        "proxy.rotation",
        "proxy.service",
        "proxy.signals",
        "proxy.simulate",
        "proxy.simulator",
    ),
    CLI: ("proxy.__main__", "proxy.cli"),
}
"""A name stands for itself and all below it, unless a longer one stands somewhere; ``proxy`` only for itself."""

IMPURE = frozenset(
    {
        "aiohttp",
        "asyncio",
        "concurrent",
        "os",
        "select",
        "signal",
        "socket",
        "ssl",
        "subprocess",
        "threading",
        "time",
        "uvloop",
    }
)
"""What a PURE module may not import: sockets, files, clocks, threads."""
READS_ENVIRONMENT = frozenset({"os.environ", "os.environb", "os.getenv", "os.getenvb"})
STARTS_TASKS = frozenset({"asyncio.create_task", "asyncio.ensure_future"})
LOOPS_THREADS = ("asyncio.to_thread", ".run_in_executor")
"""The process waits for them at its end, and all work waits while they hang; proxy.threads has others."""


@dataclass
class Module:
    """One module, as far as these rules look at it.

    Attributes:
        imports: Dotted names imported, also those for types alone.
        runtime_imports: Those that are imported when the module is.
        uses: Dotted names that stand in expressions, imported aliases resolved.
    """

    name: str
    docstring: str | None
    imports: set[str] = field(default_factory=set)
    runtime_imports: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)


def read_module(name: str, source: str) -> Module:
    """Read what the rules need out of a module's source."""
    tree = ast.parse(source)
    module = Module(name, ast.get_docstring(tree))
    aliases: dict[str, str] = {}
    lazy = {id(inner) for node in ast.walk(tree) if _runs_later(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        for alias, meaning, imported in _imported(node):
            aliases[alias] = meaning
            module.imports.add(imported)
            if id(node) not in lazy:
                module.runtime_imports.add(imported)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and (dotted := _dotted(node)):
            head, _, rest = dotted.partition(".")
            module.uses.add(f"{aliases.get(head, head)}.{rest}".rstrip("."))
    return module


def _runs_later(node: ast.AST) -> bool:
    """Return whether imports below ``node`` are not made while the module itself is imported."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _imported(node: ast.AST) -> Iterator[tuple[str, str, str]]:
    """Yield, for each import of ``node``, the local name, what it stands for, and what is imported."""
    if isinstance(node, ast.Import):
        for item in node.names:
            top = item.name.partition(".")[0]
            yield item.asname or top, item.name if item.asname else top, item.name
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports hide from whom a module imports"
        for item in node.names:
            dotted = f"{node.module}.{item.name}"
            yield item.asname or item.name, dotted, dotted


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (left := _dotted(node.value)):
        return f"{left}.{node.attr}"
    return None


def band_of(name: str) -> int:
    """Return the band of a module, that of its longest prefix in ``BANDS``."""
    bands = {prefix: band for band, prefixes in BANDS.items() for prefix in prefixes}
    prefix = name
    while prefix not in bands:
        prefix = prefix.rpartition(".")[0]
    assert prefix != "proxy" or name == "proxy", f"{name} stands in no band; give it one in this file"
    return bands[prefix]


def _starts_with(name: str, prefixes: frozenset[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def find_violations(module: Module, known: frozenset[str]) -> list[str]:
    """Return every rule that ``module`` breaks, in words; ``known`` are the names of all our modules."""
    found = []
    band = band_of(module.name)
    own = {target for name in module.imports if (target := resolve(name, known))}
    found += [f"imports {target} of a higher band" for target in sorted(own) if band_of(target) > band]
    if band <= PURE:
        found += [f"is pure and imports {name}" for name in sorted(module.imports) if _starts_with(name, IMPURE)]
    if not module.name.startswith("proxy.config"):
        found += [f"reads {name}" for name in sorted(module.uses) if _starts_with(name, READS_ENVIRONMENT)]
    if module.name != "proxy.tasks":
        starts = [name for name in module.uses if name.endswith(".create_task") or _starts_with(name, STARTS_TASKS)]
        found += [f"starts a task of its own with {name}" for name in sorted(starts)]
    found += [f"uses the loop's threads with {name}" for name in sorted(module.uses) if name.endswith(LOOPS_THREADS)]
    if not module.docstring:
        found.append("has no docstring")
    return found


def resolve(name: str, known: frozenset[str]) -> str | None:
    """Return which of our modules an imported name is, or stands in; None for another package's."""
    while name:
        if name in known:
            return name
        name = name.rpartition(".")[0]
    return None


def _read_all() -> dict[str, Module]:
    modules = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("proxy", *path.relative_to(ROOT).with_suffix("").parts)
        name = ".".join(parts).removesuffix(".__init__")
        modules[name] = read_module(name, path.read_text(encoding="utf-8"))
    return modules


MODULES = _read_all()
KNOWN = frozenset(MODULES)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_module_keeps_the_rules(name):
    """Every module imports only its own band and those below, and keeps the other rules of this file."""
    assert find_violations(MODULES[name], KNOWN) == []


def test_no_import_cycle():
    """No module needs itself while it is being imported."""
    graph = {
        name: {target for imported in module.runtime_imports if (target := resolve(imported, KNOWN)) and target != name}
        for name, module in MODULES.items()
    }

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("name", sorted(name for name in BANDS[PURE] if name != "proxy"))
def test_pure_modules_are_there(name):
    """A name in the list of pure modules is that of a module, so that a renamed one does not slip out of the rules."""
    assert name in KNOWN


@pytest.mark.parametrize(
    ("name", "source", "violation"),
    [
        ("proxy.http.head", '"""D."""\nimport asyncio', "is pure and imports asyncio"),
        ("proxy.http.head", '"""D."""\nfrom time import monotonic', "is pure and imports time.monotonic"),
        ("proxy.http.head", '"""D."""\nfrom proxy.relay import pool', "imports proxy.relay.pool of a higher band"),
        ("proxy.relay.pool", '"""D."""\nimport os\nos.environ["X"]', "reads os.environ"),
        ("proxy.relay.pool", '"""D."""\nimport os.path\nos.environ["X"]', "reads os.environ"),
        ("proxy.relay.pool", '"""D."""\nfrom os import getenv as g\ng("X")', "reads os.getenv"),
        (
            "proxy.relay.pool",
            '"""D."""\nimport asyncio as a\na.create_task(x())',
            "starts a task of its own with asyncio.create_task",
        ),
        (
            "proxy.relay.pool",
            '"""D."""\ndef f(loop):\n    loop.create_task(x())',
            "starts a task of its own with loop.create_task",
        ),
        (
            "proxy.relay.pool",
            '"""D."""\nfrom asyncio import to_thread as t\nt(x)',
            "uses the loop's threads with asyncio.to_thread",
        ),
        (
            "proxy.relay.pool",
            '"""D."""\ndef f(loop):\n    loop.run_in_executor(None, x)',
            "uses the loop's threads with loop.run_in_executor",
        ),
        ("proxy.relay.pool", "x = 1", "has no docstring"),
    ],
)
def test_rules_find_what_breaks_them(name, source, violation):
    """Each rule reports a module that breaks it and nothing else."""
    module = read_module(name, source)

    assert find_violations(module, frozenset({"proxy.relay.pool", "proxy.relay", "proxy.http.head"})) == [violation]


def test_type_only_imports_make_no_cycle():
    """An import for types or inside a function is not made while the module is imported."""
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\ndef f():\n    import b\nimport c\n"

    module = read_module("proxy.x", source)

    assert {"a", "b", "c"} <= module.imports
    assert module.runtime_imports == {"typing.TYPE_CHECKING", "c"}
