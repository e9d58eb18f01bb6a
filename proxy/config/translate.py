"""What pydantic objects to, in the words of the file that people wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from proxy.config.models import Config, Model
from proxy.config.problems import suggest
from proxy.config.units import UnitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

    from proxy.config.problems import Problems

Location = tuple[int | str, ...]

_EXAMPLES = {
    "listener": '[[listener]] with name = "cad" and bind = "127.0.0.1:8080"',
    "credential": '[credential.core] with grant = "client_credentials"',
    "route": '[[route]] with name, upstream and credential = "core"',
}
_WRONG_TYPES = {
    "bool_type": ("is not true or false", "write true or false, without quotes"),
    "int_type": ("is not a whole number", "write a whole number, without quotes"),
    "float_type": ("is not a number", "write a number, without quotes"),
    "finite_number": ("is not a finite number", "write a finite number"),
    "string_type": ("is not a text", 'write a text in quotes: "…"'),
    "tuple_type": ("is not a list", "write a list in brackets: [ … ]"),
    "dict_type": ("is not a table", "write a table in braces: { … }"),
    "model_type": ("is not a table", "write a table, under its name in brackets or in braces"),
}
_ANYTHING_ELSE = ("cannot have this value", "config/proxy.toml says what it can have")
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
}


def build_key(document: object, location: Sequence[int | str]) -> str:
    """Build the name of a key for people: ``listener[cad].bind``; a table without a name is counted from 1."""
    key = ""
    for part in location:
        if isinstance(part, int):
            item = document[part] if isinstance(document, list | tuple) and part < len(document) else None
            name = item.get("name") if isinstance(item, dict) else None
            key += f"[{name}]" if isinstance(name, str) and name else f"[{part + 1}]"
            document = item
        elif part != "[key]":
            key += f".{part}" if key else part
            document = document.get(part) if isinstance(document, dict) else None
    return key


def add_objections(problems: Problems, document: dict[str, Any], objections: list[ErrorDetails]) -> None:
    """Note every objection in plain words; a misspelt key is one problem, not also a missing one."""
    meant = {
        (*error["loc"][:-1], suggest_key(error["loc"])) for error in objections if error["type"] == "extra_forbidden"
    }
    for error in objections:
        if error["type"] == "missing" and error["loc"] in meant:
            continue
        _add(problems, document, error)


def suggest_key(location: Location) -> str | None:
    """Return the key that an unknown one is likely to mean; None when it is like none of its table."""
    return suggest(str(location[-1]), _fields(location[:-1]))


def _explain_heading(document: dict[str, Any], location: Location, kind: str) -> tuple[str, str] | None:
    """Return problem and fix of a table that has the wrong brackets; None when that is not what is wrong."""
    key = build_key(document, location)
    match kind:
        case "tuple_type" if len(location) == 1:
            return "is one table where a list of tables is wanted", f"write [[{key}]], in double brackets"
        case "dict_type" if len(location) == 1:
            return "is not a table of named tables", f"write {_EXAMPLES[key]}"
        case "model_type" if _is_list_of_tables(document, location):
            return "is a list of tables where one table is wanted", f"write [{key}], in single brackets"
    return None


def _is_list_of_tables(document: Any, location: Location) -> bool:  # noqa: ANN401 (whatever TOML holds)
    """Return whether a table was begun with ``[[…]]``."""
    for part in location:
        document = document.get(part) if isinstance(document, dict) else None
    return isinstance(document, list) and all(isinstance(item, dict) for item in document)


def _add(problems: Problems, document: dict[str, Any], error: ErrorDetails) -> None:
    location = error["loc"]
    key = build_key(document, location)
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            example = _EXAMPLES.get(str(location[0])) if len(location) == 1 else f"{location[-1]} = …"
            problems.add(key, "is missing", f"add {example}; config/proxy.toml shows every key")
        case "extra_forbidden":
            problems.add(key, "is not a key of this table", _advise(location))
        case "value_error" if isinstance(context.get("error"), UnitError):
            problems.add(key, context["error"].problem, context["error"].fix)
        case "literal_error":
            allowed = context["expected"].replace("'", '"')
            problems.add(key, "is none of the values it can have", f"write {allowed}")
        case kind if (heading := _explain_heading(document, location, kind)) is not None:
            problems.add(key, *heading)
        case kind if kind in _BOUNDS:
            bound, words = _BOUNDS[kind]
            problems.add(key, "is out of range", f"write {words} {context[bound]:g}")
        case kind:
            problems.add(key, *_WRONG_TYPES.get(kind, _ANYTHING_ELSE))


def _advise(location: Location) -> str:
    """Say what was meant by an unknown key: a near name, a key of another table, or what this table takes."""
    wrong = str(location[-1])
    known = _fields(location[:-1])
    if (near := suggest_key(location)) is not None:
        return f"did you mean {near}?"
    for section, field in Config.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is not None and wrong in inner.model_fields:
            return f"it belongs in a table of {section}"
    return f"remove it; this table takes {', '.join(known)}"


def _fields(location: Location) -> list[str]:
    """Return the keys of the table at ``location``."""
    model: type[Model] = Config
    for part in location:
        field = model.model_fields.get(str(part))
        model = (field and _model_in(field.annotation)) or model
    return list(model.model_fields)


def _model_in(annotation: object) -> type[Model] | None:
    """Return the model that a field holds: itself, in a list, or by name."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner)) is not None), None)
