"""The readable page of the API at /api/docs, drawn by the server from the OpenAPI document that programs get."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Flask, current_app, render_template, url_for

from app.access import public
from app.pages import kinds
from app.problems import status_of

Spec = dict[str, Any]

METHODS = ("get", "post", "put", "patch", "delete")
DEEPEST = 4  # levels of nested objects that a table shows

blp = Blueprint("apidocs", __name__)


@dataclass(frozen=True)
class Row:
    """One field of a schema, or one parameter: what a table shows of it."""

    name: str
    type: str
    required: bool = False
    place: str = ""  # of a parameter: path, query or header
    description: str = ""
    choices: tuple[str, ...] = ()
    limits: str = ""


@dataclass(frozen=True)
class Answer:
    status: str
    description: str
    type: str
    rows: list[Row]


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    summary: str
    description: str
    anchor: str
    scope: str | None
    is_public: bool
    parameters: list[Row]
    body: list[Row]
    answers: list[Answer]
    curl: str


@dataclass(frozen=True)
class Group:
    name: str
    description: str
    anchor: str
    operations: list[Operation] = field(default_factory=list)


def init_app(app: Flask) -> None:
    app.register_blueprint(blp)


@blp.get("/api/docs")
@public
def show() -> str:
    """Show the whole API on one page."""
    spec = document()
    return render_template(
        "api_docs.html",
        info=spec["info"],
        groups=groups(spec, _accesses(), url_for("site.home", _external=True).rstrip("/")),
        problems=sorted(((kind, status_of(kind)) for kind in kinds().values()), key=lambda row: row[0].code),
        scopes=sorted({scope for _, scope in _accesses().values() if scope}),
        document_url=url_for("api-docs.openapi_json"),
    )


def document() -> Spec:
    """The OpenAPI document, as programs get it."""
    (entry,) = current_app.extensions["flask-smorest"]["apis"].values()
    return dict(entry["ext_obj"].spec.to_dict())


def groups(spec: Spec, accesses: dict[tuple[str, str], tuple[str, str | None]], server: str) -> list[Group]:
    """Operations by tag, in the order of the document."""
    found = {tag["name"]: _group(tag["name"], tag.get("description", "")) for tag in spec.get("tags", [])}
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method not in item:
                continue
            raw = item[method]
            name = (raw.get("tags") or ["API"])[0]
            group = found.setdefault(name, _group(name))
            access, scope = accesses.get((method, path), ("signed_in", None))
            shared = item.get("parameters", [])
            group.operations.append(_operation(spec, method, path, raw, shared, access == "public", scope, server))
    return [group for group in found.values() if group.operations]


def _group(tag: str, description: str = "") -> Group:
    """Tags are the names of blueprints: `lab_sessions_api` reads as "Lab sessions"."""
    words = re.sub(r"[-_]", " ", re.sub(r"[-_]api$", "", tag))
    return Group(words[:1].upper() + words[1:], description, f"group-{_anchor(words)}")


def _operation(
    spec: Spec, method: str, path: str, raw: Spec, shared: list[Spec], is_public: bool, scope: str | None, server: str
) -> Operation:
    parameters = [_parameter(spec, _resolve(spec, parameter)) for parameter in [*shared, *raw.get("parameters", [])]]
    schema = _content_schema(spec, raw.get("requestBody", {}))
    summary, _, more = raw.get("summary", path).partition(". ")
    return Operation(
        method=method,
        path=path,
        summary=summary.removesuffix("."),
        description=f"{more} {raw.get('description', '')}".strip(),
        anchor=_anchor(f"{method}-{path.removeprefix('/api/v1')}"),
        scope=scope,
        is_public=is_public,
        parameters=[row for row in parameters if row.name != "X-Fields"],
        body=list(rows(spec, schema)) if schema else [],
        answers=[_answer(spec, status, raw) for status, raw in raw.get("responses", {}).items() if status != "default"],
        curl=_curl(spec, method, path, schema, is_public, server),
    )


def _answer(spec: Spec, status: str, raw: Spec) -> Answer:
    answer = _resolve(spec, raw)
    schema = _content_schema(spec, answer)
    problem = "application/problem+json" in answer.get("content", {})
    return Answer(
        status=status,
        description=answer.get("description", ""),
        type="problem" if problem else (_type(spec, schema) if schema else ""),
        rows=[] if problem or not schema else list(rows(spec, schema)),
    )


def _parameter(spec: Spec, raw: Spec) -> Row:
    schema = _resolve(spec, raw.get("schema", {}))
    return Row(
        name=raw["name"],
        place=raw["in"],
        type=_type(spec, schema),
        required=raw.get("required", False),
        description=raw.get("description") or schema.get("description", ""),
        choices=_choices(schema),
        limits=_limits(schema),
    )


def rows(spec: Spec, schema: Spec, prefix: str = "", depth: int = 0) -> Iterator[Row]:
    """The fields of a schema, nested ones by their path: `budget.cap`, `units[].title`."""
    schema = _object(spec, schema)
    if schema.get("type") == "array":
        prefix += "[]." if prefix else ""
        schema = _object(spec, schema.get("items", {}))
    for name, raw in schema.get("properties", {}).items():
        inner = _object(spec, raw)
        yield Row(
            name=prefix + name,
            type=_type(spec, inner),
            required=name in schema.get("required", ()),
            description=inner.get("description", ""),
            choices=_choices(inner),
            limits=_limits(inner),
        )
        if depth < DEEPEST and _has_fields(spec, inner):
            separator = "" if inner.get("type") == "array" else "."
            yield from rows(spec, inner, prefix + name + separator, depth + 1)


def _has_fields(spec: Spec, schema: Spec) -> bool:
    inner = _object(spec, schema.get("items", {})) if schema.get("type") == "array" else schema
    return bool(inner.get("properties"))


def _object(spec: Spec, schema: Spec) -> Spec:
    """Follow references, and take the one real branch of allOf and of "or null"."""
    schema = _resolve(spec, schema)
    branches = [_resolve(spec, b) for key in ("allOf", "anyOf", "oneOf") for b in schema.get(key, ())]
    branches = [branch for branch in branches if branch.get("type") != "null"]
    return {**_object(spec, branches[0]), **schema} if branches else schema


def _resolve(spec: Spec, raw: Spec) -> Spec:
    while "$ref" in raw:
        found: Any = spec
        for part in raw["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        raw = {**found, **{key: value for key, value in raw.items() if key != "$ref"}}
    return raw


def _content_schema(spec: Spec, raw: Spec) -> Spec | None:
    for content in _resolve(spec, raw).get("content", {}).values():
        return dict(content.get("schema", {}))
    return None


def _type(spec: Spec, schema: Spec) -> str:
    schema = _object(spec, schema)
    kinds = schema.get("type", "object" if schema.get("properties") else "any")
    names = [str(kind) for kind in (kinds if isinstance(kinds, list) else [kinds])]
    if names[0] == "array":
        return f"[{_type(spec, schema.get('items', {}))}]"
    if schema.get("format"):
        names[0] = schema["format"]
    return " | ".join(names)


def _choices(schema: Spec) -> tuple[str, ...]:
    return tuple(str(choice) for choice in schema.get("enum", ()) if choice is not None)


def _limits(schema: Spec) -> str:
    signs = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
    parts = [f"{sign} {schema[key]}" for key, sign in signs.items() if key in schema]
    if "default" in schema and schema["default"] is not None:
        parts.append(f"= {schema['default']}")
    return ", ".join(parts)


def _curl(spec: Spec, method: str, path: str, body: Spec | None, is_public: bool, server: str) -> str:
    lines = [f"curl {server}{path}" if method == "get" else f"curl -X {method.upper()} {server}{path}"]
    if not is_public:
        lines.append('-H "Authorization: Bearer $CHANCAI_TOKEN"')
    if body is not None:
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d '{json.dumps(_example(spec, body), ensure_ascii=False)}'")
    return " \\\n  ".join(lines)


def _example(spec: Spec, schema: Spec, depth: int = 0) -> Any:
    schema = _object(spec, schema)
    for key in ("example", "default"):
        if schema.get(key) is not None:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        fields = schema.get("properties", {}) if depth < DEEPEST else {}
        wanted = schema.get("required") or list(fields)
        return {name: _example(spec, fields[name], depth + 1) for name in wanted if name in fields}
    if kind == "array":
        return [_example(spec, schema.get("items", {}), depth + 1)]
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    if kind == "boolean":
        return True
    formats = {
        "uuid": "01977f3c-5b1e-7c7a-9d7e-1a2b3c4d5e6f",
        "date-time": "2026-09-01T10:00:00+08:00",
        "date": "2026-09-01",
    }
    return formats.get(schema.get("format", ""), "…")


def _accesses() -> dict[tuple[str, str], tuple[str, str | None]]:
    """What each route declares, by method and path as the document writes them."""
    found = {}
    for rule in current_app.url_map.iter_rules():
        path = re.sub(r"<(?:[^:>]*:)?([^>]+)>", r"{\1}", rule.rule)
        view = current_app.view_functions[rule.endpoint]
        for method in rule.methods or ():
            found[method.lower(), path] = (getattr(view, "access", "signed_in"), getattr(view, "scope", None))
    return found


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
