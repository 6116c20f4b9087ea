"""Turns a validation error into a message for people: file, key, value, rule, fix. Pure."""

from difflib import get_close_matches
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from components.model.cluster import ClusterConfig

_KEY: Final = "hearth:cluster"


def explain(file: str, error: ValidationError) -> str:
    """One line per problem, each with the full key path and the offending value."""
    problems = [_problem(detail) for detail in error.errors(include_url=False)]
    return f"{file} is not valid; nothing was changed:\n" + "\n".join(
        f"  {problem}" for problem in problems
    )


def _problem(detail: ErrorDetails) -> str:
    path = [part for part in detail["loc"] if part not in ("local", "ssh", "Hardware", "[key]")]
    key = ".".join([_KEY, *(str(part) for part in path)])
    match detail["type"]:
        case "extra_forbidden":
            known = _keys_at(path[:-1])
            close = get_close_matches(str(path[-1]), known, n=1)
            fix = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
            return f"{key}: unknown key; {fix}"
        case "missing":
            return f"{key}: this key is required; add it"
        case "value_error":
            # Our own validators name key, rule and fix themselves.
            return f"{key}: {str(detail['msg']).removeprefix('Value error, ')}"
        case _:
            return f"{key}: {detail['input']!r} is refused: {_lower(detail['msg'])}"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _keys_at(path: list[int | str]) -> list[str]:
    """Keys the model knows at a path of the stack file; empty where it cannot be told."""
    here: Any = ClusterConfig
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            fields = {(field.alias or name): field for name, field in here.model_fields.items()}
            here = fields[str(part)].annotation if str(part) in fields else None
        elif get_origin(here) in (dict, list):
            here = get_args(here)[-1]
        here = _model_in(here)
    if isinstance(here, type) and issubclass(here, BaseModel):
        return [field.alias or name for name, field in here.model_fields.items()]
    return []


def _model_in(annotation: Any) -> Any:
    """The section inside an optional or union annotation."""
    if get_origin(annotation) in (Union, UnionType):
        models = [part for part in get_args(annotation) if isinstance(part, type)]
        sections = [part for part in models if issubclass(part, BaseModel)]
        return sections[-1] if sections else annotation
    return annotation
