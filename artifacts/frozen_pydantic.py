"""What stands in for pydantic within the artifacts: models whose schemas `make build` has written down.

artifacts/freeze.py has let pydantic make the schema of each model that pydantic_core works with; here pydantic_core
works with it. So validators, serializers and errors are pydantic's own. What is missing is the making of schemas,
which is the same at every start, and was more than a quarter of it. This has what shared/ uses of pydantic, and
nothing else: tests/deployment/test_frozen_models.py holds the two together.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self

from pydantic.schemas import SCHEMAS  # type: ignore[import-not-found]  # it is made by the build
from pydantic_core import SchemaSerializer, SchemaValidator, ValidationError

__all__ = ["BaseModel", "ValidationError"]


def _nothing(*_: object, **__: object) -> None:
    """What annotations say went into the schemas."""


AfterValidator = BeforeValidator = ConfigDict = PlainSerializer = WithJsonSchema = _nothing


def Field(default: object = None, **_: object) -> Any:  # noqa: N802 - pydantic's name
    """A field's default is in its schema, too; this is what its class shows."""
    return default


def model_validator(*, mode: str) -> Callable[[Any], Any]:  # noqa: ARG001 - pydantic's name
    """The schema has the validator."""
    return lambda method: method


def computed_field(method: property) -> property:
    """The schema says that it is one."""
    return method


class _WhenAsked[Made]:
    """A class's validator or serializer, made when it is asked for first: a function uses but a few."""

    def __init__(self, name: str, make: Callable[[Any, Any], Made]) -> None:
        self._name = name
        self._make = make

    def __get__(self, _: object, model: type) -> Made:
        schema = SCHEMAS[model.__qualname__]()
        made = self._make(schema, schema["config"])
        setattr(model, self._name, made)
        return made


class BaseModel:
    """A model with the schema of its name. It cannot be changed: no function changes one."""

    __slots__ = ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")
    __pydantic_validator__: Any
    __pydantic_serializer__: Any
    __pydantic_fields_set__: set[str]

    def __init_subclass__(cls) -> None:
        # Of its own, or it would find those of the model that it is made of.
        for name, make in (("__pydantic_validator__", SchemaValidator), ("__pydantic_serializer__", SchemaSerializer)):
            setattr(cls, name, _WhenAsked(name, make))

    def __init__(self, /, **data: object) -> None:
        self.__pydantic_validator__.validate_python(data, self_instance=self)

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"

    @classmethod
    def model_validate(cls, value: object) -> Self:
        """A model made of a value. Raises ValidationError."""
        made: Self = cls.__pydantic_validator__.validate_python(value)
        return made

    @classmethod
    def model_rebuild(cls) -> None:
        """Make ready what a use of the model takes."""
        _ = cls.__pydantic_validator__, cls.__pydantic_serializer__

    def model_dump(self, *, exclude_unset: bool = False) -> dict[str, Any]:
        """The fields with their values."""
        dumped: dict[str, Any] = self.__pydantic_serializer__.to_python(self, exclude_unset=exclude_unset)
        return dumped

    def model_dump_json(self) -> str:
        """The model as JSON."""
        dumped: bytes = self.__pydantic_serializer__.to_json(self)
        return dumped.decode()

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """A copy with other values, which are not validated."""
        copied = object.__new__(type(self))
        values = {
            "__dict__": {**self.__dict__, **update},
            "__pydantic_extra__": None,
            "__pydantic_fields_set__": {*self.__pydantic_fields_set__, *update},
            "__pydantic_private__": None,
        }
        for name, value in values.items():
            object.__setattr__(copied, name, value)
        return copied
