"""The schemas of the contract: those of the models, described by the docstrings of their fields."""

import ast
import inspect
import itertools
import json
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import core_schema

from shared.http.operation import Declaration
from shared.http.problems import ProblemBody
from shared.models import DeletedTask, NoQuery, Task

type Schema = dict[str, Any]

_REFERENCE = "#/components/schemas/{model}"
_MESSAGE: Schema = {
    "title": "Message",
    "description": "A response of API Gateway itself.",
    "type": "object",
    "properties": {"message": {"type": "string"}},
    "required": ["message"],
}


class _Described(GenerateJsonSchema):
    """Describes every field by its docstring, and uses only keywords that generators of clients understand."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False  # the title of a field repeats its name

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        described = _described(schema["cls"], super().model_schema(schema))
        if schema["cls"] is Task:
            # One schema for tasks and deleted tasks, with their times in the trash as optional fields. A `oneOf` of two
            # schemas would be wrong, because a deleted task also fits the schema of a task. For an `anyOf`, some
            # generators require the fields of both, and some take the first schema whatever it requires.
            trash = DeletedTask.model_json_schema(mode=self.mode, schema_generator=_Described)["properties"]
            described["properties"] = {**trash, **described["properties"]}
        return described

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> Schema:
        return _described(schema["cls"], super().typed_dict_schema(schema))

    def literal_schema(self, schema: core_schema.LiteralSchema) -> Schema:
        made: Schema = super().literal_schema(schema)
        if "const" in made:
            # Generators compare a boolean constant with a string, and find no discriminator in a constant.
            value = made.pop("const")
            if not isinstance(value, bool):
                made["enum"] = [value]
        return made

    def union_schema(self, schema: core_schema.UnionSchema) -> Schema:
        every = core_schema.iter_union_choices(schema)
        made: Schema = super().union_schema(
            {**schema, "choices": [one for one in every if one.get("cls") is not DeletedTask]}
        )
        # Generators make one type with the members of all from an `anyOf`.
        return {"oneOf": made["anyOf"]} if "anyOf" in made else made


def reference(name: str) -> Schema:
    """A reference to the schema of a model."""
    return {"$ref": _REFERENCE.format(model=name)}


def schemas(declared: list[Declaration]) -> dict[str, Schema]:
    """Return the schemas of all request and response bodies, by name."""
    inputs: set[tuple[type[Any], JsonSchemaMode]] = {(ProblemBody, "serialization")}
    inputs |= {(one.body, "validation") for one in declared if one.body is not None}
    inputs |= {(one.result, "serialization") for one in declared if one.result is not None}
    adapters = [
        (of.__name__, mode, TypeAdapter[Any](of)) for of, mode in sorted(inputs, key=lambda one: one[0].__name__)
    ]
    _, definitions = TypeAdapter.json_schemas(adapters, ref_template=_REFERENCE, schema_generator=_Described)
    named: dict[str, Schema] = definitions["$defs"]
    named["Problem"] = {**named.pop("ProblemBody"), "title": "Problem"}
    named["Message"] = _MESSAGE
    return dict(sorted(named.items()))


def schema_of(models: Any) -> Schema:
    """The schema of what a model, or one of several models, is in JSON, with its own definitions."""
    return TypeAdapter[Any](models).json_schema(mode="serialization", schema_generator=_Described)


def query_parameters(model: type[NoQuery]) -> Iterator[Schema]:
    """The parameters of a query."""
    schema = model.model_json_schema(schema_generator=_Described)
    for name, of in schema.get("properties", {}).items():
        # A parameter is present or absent, never null.
        plain: Schema = next((one for one in of.pop("anyOf", ()) if one != {"type": "null"}), {})
        text = of.pop("description", "")
        # So that the page /docs fills it in.
        example = {"example": plain.pop("example")} if "example" in plain else {}
        required = name in schema.get("required", ())
        yield {
            "name": name,
            "in": "query",
            "description": text,
            "required": required,
            "schema": {**of, **plain},
            **example,
        }


def _described(of: type[Any], schema: Schema) -> Schema:
    fields = getattr(of, "model_fields", {})
    words = {fields[name].alias or name if name in fields else name: text for name, text in _docstrings(of).items()}
    for name, field in schema.get("properties", {}).items():
        text = words.get(name, "")
        # Generators of clients require or send a field that has a default, so words say it.
        default = field.pop("default", None)
        if name in fields and fields[name].exclude:
            text = text or "Ignored: only the server sets it."
        elif default not in (None, "") and not hasattr(of, "changes"):  # a change keeps the value of an absent field
            text += f" Default: `{default if isinstance(default, str) else json.dumps(default)}`."
        if text:
            field["description"] = text.strip()
    return schema


def _docstrings(of: type[Any]) -> dict[str, str]:
    """The docstrings of the fields of a class and its bases. Pydantic would read the sources in every function."""
    found: dict[str, str] = {}
    for one in reversed(of.__mro__):
        if one.__module__.startswith(("shared.", "contract.")):
            (parsed,) = ast.parse(inspect.getsource(one)).body
            body = parsed.body if isinstance(parsed, ast.ClassDef) else []
            for field, words in itertools.pairwise(body):
                match field, words:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        found[name] = inspect.cleandoc(text)
    return found
