"""Names and ports are compared whatever else is wrong with a document."""

import pytest

from proxy.config.outline import check_outline
from proxy.config.problems import Problems


@pytest.fixture
def outline():
    """Return a function that gives all that is told of a document."""

    def outline(document):
        problems = Problems("test.toml")
        check_outline(document, problems)
        return str(problems.build_error()) if problems.are_any else ""

    return outline


NORTH, SOUTH = ({"name": name, "bind": f"127.0.0.1:{port}"} for name, port in (("north", 8080), ("south", 8081)))


@pytest.mark.parametrize(
    ("route", "told"),
    [
        (
            {"match": {"listener": "suoth"}},
            'route[1].match.listener: there is no listener "suoth"\n  fix: did you mean "so',
        ),
        ({"match": {"listener": "xyz"}}, '.listener: there is no listener "xyz"\n  fix: write one of: north, south'),
        (
            {"name": "a", "credential": "cor"},
            'route[a].credential: there is no credential "cor"\n  fix: did you mean "core"?',
        ),
    ],
)
def test_a_name_that_is_nowhere_is_told(outline, route, told):
    """With the one that was meant, or with all that there are."""
    assert told in outline({"listener": [NORTH, SOUTH], "credential": {"core": 1}, "route": [route]})


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"listener": 1, "credential": [], "route": {}},
        {"listener": [1], "route": [1, {"match": 1}]},
        {"listener": [NORTH, {"nmae": "south"}], "route": [{"match": {"listener": "south"}, "credential": "core"}]},
        {"credential": {}, "route": [{"credential": "core", "match": {"listener": "cad"}}]},
        {"credential": {"core": {}}, "route": [{"credential": 1, "match": {"listener": 1}}]},
        {"listener": [{"name": 1, "bind": 1}, {"bind": "127.0.0.1"}], "admin": 1},
    ],
)
def test_a_mistake_of_another_kind_is_not_told_as_one_of_names(outline, document):
    """It has been told as what it is."""
    assert outline(document) == ""


def test_names_and_ports_that_are_used_twice_are_told(outline):
    """Each of them, and an empty list."""
    told = outline({"listener": [NORTH, NORTH], "admin": {"health_bind": "127.0.0.1:9090"}, "route": []})

    assert "listener[north].name: names two listeners" in told
    assert "listener[north].bind: 127.0.0.1:8080 is taken by listener[north].bind" in told
    assert "admin.health_bind: 127.0.0.1:9090 is taken by admin.bind" in told
    assert "route: is empty" in told
