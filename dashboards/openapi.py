"""OpenAPI 3.1 from the table of operations, so that it cannot drift from what is served."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from alerts.people.permissions import OPEN, PERSON
from dashboards.answers import ProblemAnswer
from dashboards.problems_json import MEDIA_TYPE

if TYPE_CHECKING:
    from dashboards.operation import Operation

REF = "#/components/schemas/{model}"
COMMON_PROBLEMS = (400, 421, 503)
SECURITY_SCHEMES = {
    "session": {
        "type": "apiKey", "in": "cookie", "name": "__Host-renrum",
        "description": "What POST /api/v1/session sets; `renrum` where there is no TLS. Without users (`http.users`) none is asked for.",
    },
    "token": {"type": "http", "scheme": "bearer", "description": "For programs: `renrum users token add`."},
}  # fmt: skip


def document(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The description of the operations; `version` is that of the product."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ProblemAnswer, "serialization")]
    models += [(operation.answer, "serialization") for operation in operations if operation.answer is not None]
    models += [(operation.body, "validation") for operation in operations if operation.body is not None]
    _, schemas = models_json_schema(list(dict.fromkeys(models)), ref_template=REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Renrum",
            "version": version or "0",
            "summary": "Environmental monitoring of cleanrooms.",
            "description": "Times are RFC 3339; numbers that are not finite are null. Errors are RFC 9457 problem details. "
            "An answer that was cut off at `limit` has a `next`: pass it as `cursor`.",
        },
        "paths": paths,
        "components": {"schemas": schemas["$defs"], "securitySchemes": SECURITY_SCHEMES},
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": _name(operation),
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _responses(operation),
        "security": [{scheme: []} for scheme in _schemes(operation.permission)],
        "x-permission": operation.permission,
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": _reference(operation.body)}}}
    return described


def _schemes(permission: str) -> tuple[str, ...]:
    return () if permission == OPEN else ("session",) if permission == PERSON else ("session", "token")


def _name(operation: Operation) -> str:
    words = re.findall(r"[a-z]+", operation.path.removeprefix("/api/v1"))
    return operation.method.lower() + "".join(word.capitalize() for word in words)


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    schema = operation.parameters.model_json_schema()
    required = schema.get("required", [])
    parameters = []
    for name, described in schema.get("properties", {}).items():
        in_path = f"{{{name}}}" in operation.path
        parameter = {
            "name": name,
            "in": "path" if in_path else "query",
            "required": in_path or name in required,
            "description": described.pop("description", ""),
            "schema": described,
        }
        if described.get("type") == "array":
            parameter |= {"style": "form", "explode": False}
        parameters.append(parameter)
    return parameters


def _responses(operation: Operation) -> dict[str, Any]:
    schema = _reference(operation.answer) if operation.answer is not None else {"type": "string"}
    if operation.media == "application/json" and operation.answer is None:
        schema = {"type": "object"}
    done: dict[str, Any] = {"description": "Done."}
    if operation.status != 204:
        done["content"] = {operation.media: {"schema": schema}}
    responses: dict[str, Any] = {str(operation.status): done}
    closed = () if operation.permission == OPEN else (401, 403)
    problems: Iterable[int] = sorted({*COMMON_PROBLEMS, *operation.problems, *closed})
    for status in problems:
        content = {MEDIA_TYPE: {"schema": _reference(ProblemAnswer)}}
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    return responses


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}
