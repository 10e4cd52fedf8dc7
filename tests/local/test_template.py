"""The template is resolved like CloudFormation does, and unresolvable values are errors."""

from pathlib import Path

import pytest

from local.template import Template, load, read
from tests.local.conftest import PARAMETERS, TEMPLATE


def changed(folder: Path, old: str, new: str) -> Path:
    assert old in TEMPLATE
    path = folder / "template.yaml"
    path.write_text(TEMPLATE.replace(old, new))
    return path


def test_short_forms_are_read_as_long_ones(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text("""
Version: 2012-10-17
Ref: !Ref A
Attributes: [!GetAtt A.B.C, !GetAtt [A, B]]
Nested: !If [C, !Sub ["${x}", {x: !Ref X}], {y: !Condition Y}]
Mapping: !Transform {Name: !Ref N}
""")
    assert read(path) == {
        "Version": "2012-10-17",
        "Ref": {"Ref": "A"},
        "Attributes": [{"Fn::GetAtt": ["A", "B.C"]}, {"Fn::GetAtt": ["A", "B"]}],
        "Nested": {"Fn::If": ["C", {"Fn::Sub": ["${x}", {"x": {"Ref": "X"}}]}, {"y": {"Condition": "Y"}}]},
        "Mapping": {"Fn::Transform": {"Name": {"Ref": "N"}}},
    }


def test_functions_have_their_environment_and_routes(tiny: Template) -> None:
    echo = next(function for function in tiny.functions if function.name == "Echo")
    assert (echo.handler, echo.timeout, echo.memory) == ("tiny_handlers.echo", 5, 256)
    assert echo.environment == {
        "TABLE": "Things",
        "STAGE": "dev",
        "SHARED": "own",
        "NAME": "local-Things-${Literal}",
    }
    assert [(route.method, route.path) for route in echo.routes] == [
        ("GET", "/things/{thing_id}"),
        ("POST", "/things"),
        ("GET", "/things/{thing_id}/parts/{part-id}"),
        ("GET", "/v1.0/dot"),
    ]
    assert not any(route.public for route in echo.routes)


def test_parameters_become_the_authorizer(tiny: Template) -> None:
    assert (tiny.issuer, tiny.audiences) == ("https://tasks.local", ("other", "tasks-local"))


def test_tables_are_arguments_of_create_table(tiny: Template) -> None:
    (table,) = tiny.tables
    assert table.arguments == {
        "TableName": "Things",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    }
    assert table.ttl == "expires_at"


def test_ttl_may_be_off(tmp_path: Path) -> None:
    path = changed(tmp_path, "expires_at, Enabled: true", "expires_at, Enabled: false")
    assert load(path, PARAMETERS).tables[0].ttl is None


@pytest.mark.parametrize(("stage", "there"), [("dev", False), ("prod", True)])
def test_a_resource_whose_condition_is_false_is_left_out(folder: Path, stage: str, there: bool) -> None:
    loaded = load(folder / "template.yaml", {**PARAMETERS, "Stage": stage})
    assert ("OnlyInProd" in {function.name for function in loaded.functions}) is there
    assert loaded.functions[0].environment["STAGE"] == ("production" if there else "dev")


@pytest.mark.parametrize(("condition", "there"), [("NotProd", True), ("Both", False), ("Either", True)])
def test_conditions_combine(tmp_path: Path, condition: str, there: bool) -> None:
    path = changed(tmp_path, "Condition: Prod\n    Prop", f"Condition: {condition}\n    Prop")
    assert ("OnlyInProd" in {function.name for function in load(path, PARAMETERS).functions}) is there


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("!Ref Things, STAGE", "!Ref Nothing, STAGE", "Nothing"),
        ("SHARED: own", 'SHARED: !Sub "${Nothing}"', "Nothing"),
        ("SHARED: own", "SHARED: !ImportValue Exported", "ImportValue"),
        ("SHARED: own", "SHARED: !If [Nothing, a, b]", "Nothing"),
        ("Condition: Prod\n    Prop", "Condition: Nothing\n    Prop", "Nothing"),
    ],
)
def test_unresolvable_values_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(ValueError, match=message):
        load(path, PARAMETERS)


def test_a_parameter_that_is_used_needs_a_value(folder: Path) -> None:
    with pytest.raises(ValueError, match="JwtIssuer"):
        load(folder / "template.yaml", {"JwtAudience": "a"})


def test_intrinsics_outside_the_used_properties_are_ignored(tmp_path: Path) -> None:
    path = changed(tmp_path, "Timeout: 1\n", "Timeout: 1\n      Role: !ImportValue Exported\n")
    assert load(path, PARAMETERS).functions
