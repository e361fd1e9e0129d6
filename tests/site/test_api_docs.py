"""The readable page of the API says what the OpenAPI document says, all of it."""

from typing import Any

import pytest
from bs4 import BeautifulSoup
from flask.testing import FlaskClient

from app import apidocs
from app.pages import kinds


@pytest.fixture
def page(client: FlaskClient) -> BeautifulSoup:
    answer = client.get("/api/docs", headers={"Accept-Language": "en"})
    assert answer.status_code == 200
    return BeautifulSoup(answer.text, "html.parser")


def test_every_operation_of_the_document_is_on_the_page(client: FlaskClient, page: BeautifulSoup) -> None:
    document = client.get("/api/v1/openapi.json").get_json()
    wanted = {f"{m.upper()} {path}" for path, item in document["paths"].items() for m in item if m in apidocs.METHODS}

    shown = {" ".join(line.text.split()) for line in page.select(".operation-path")}

    assert document["openapi"].startswith("3.1")
    assert shown == wanted


def test_anchors_are_unique_and_all_links_to_them_work(page: BeautifulSoup) -> None:
    ids = [str(tag["id"]) for tag in page.select("[id]")]
    targets = {str(a["href"])[1:] for a in page.select('a[href^="#"]')}

    assert len(ids) == len(set(ids))
    assert targets <= set(ids)


def test_every_problem_code_is_listed(page: BeautifulSoup) -> None:
    shown = {str(a["href"]) for a in page.select("#problems th a")}

    assert shown == {f"/problems/{code}" for code in kinds()}


SPEC: dict[str, Any] = {
    "tags": [{"name": "labs", "description": "Running labs"}],
    "components": {
        "schemas": {
            "Cap": {
                "type": "object",
                "properties": {"micro": {"type": "integer", "minimum": 0}},
                "required": ["micro"],
            },
            "Budget": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "description": "What people call it"},
                    "kind": {"type": "string", "enum": ["partner", "run"]},
                    "cap": {"anyOf": [{"$ref": "#/components/schemas/Cap"}, {"type": "null"}]},
                    "children": {"type": "array", "items": {"$ref": "#/components/schemas/Budget"}},
                },
            },
        },
        "responses": {"CONFLICT": {"description": "Conflict", "content": {"application/problem+json": {"schema": {}}}}},
    },
    "paths": {
        "/api/v1/budgets/{id}": {
            "parameters": [
                {"in": "path", "name": "id", "required": True, "schema": {"type": "string", "format": "uuid"}}
            ],
            "put": {
                "tags": ["labs"],
                "summary": "Change a budget.",
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Budget"}}}},
                "responses": {
                    "200": {
                        "description": "OK",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Budget"}}},
                    },
                    "409": {"$ref": "#/components/responses/CONFLICT"},
                    "default": {"description": "Any other"},
                },
            },
        }
    },
}


@pytest.fixture
def operation() -> apidocs.Operation:
    accesses = {("put", "/api/v1/budgets/{id}"): ("signed_in", "budgets:write")}
    (group,) = apidocs.groups(SPEC, accesses, "https://chancai.example")
    (operation,) = group.operations
    return operation


def test_nested_fields_are_shown_by_their_path_and_recursion_ends(operation: apidocs.Operation) -> None:
    names = [row.name for row in operation.body]

    assert names[:4] == ["name", "kind", "cap", "cap.micro"]
    assert "children[].children[].name" in names
    assert len(names) < 40


def test_types_limits_and_choices_are_shown(operation: apidocs.Operation) -> None:
    fields = {row.name: row for row in operation.body}

    assert (fields["name"].type, fields["name"].required, fields["kind"].required) == ("string", True, False)
    assert fields["kind"].choices == ("partner", "run")
    assert fields["cap.micro"].limits == "≥ 0"
    assert fields["children"].type == "[object]"


def test_parameters_of_the_path_count_for_the_operation(operation: apidocs.Operation) -> None:
    assert [(row.name, row.place, row.type, row.required) for row in operation.parameters] == [
        ("id", "path", "uuid", True)
    ]


def test_answers_name_problems_and_leave_out_the_default(operation: apidocs.Operation) -> None:
    assert [(answer.status, answer.type) for answer in operation.answers] == [("200", "object"), ("409", "problem")]


def test_the_example_can_be_pasted(operation: apidocs.Operation) -> None:
    assert operation.curl.splitlines() == [
        "curl -X PUT https://chancai.example/api/v1/budgets/{id} \\",
        '  -H "Authorization: Bearer $CHANCAI_TOKEN" \\',
        '  -H "Content-Type: application/json" \\',
        """  -d '{"name": "…"}'""",
    ]


def test_the_scope_that_a_route_asks_for_is_said(operation: apidocs.Operation) -> None:
    assert operation.scope == "budgets:write"
