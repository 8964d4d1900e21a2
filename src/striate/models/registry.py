"""Networks by name: what can be built, and from what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from types import NoneType
from typing import Any, Protocol, get_args, get_type_hints

from striate.core.errors import PlanError, UnknownModelError
from striate.core.paper import Paper
from striate.core.registry import Registry
from striate.models.network import ImageModel, StagedModel, Task


class Build(Protocol):
    """A family's network class."""

    @property
    def task(self) -> Task:
        """What its networks are for."""
        ...

    def __call__(self, spec: Any, *, classes: int, in_channels: int) -> StagedModel:
        """Build the network of a spec."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A network that can be built by name.

    Args:
        name: As in the registry.
        family: The module that defines it, such as ``resnet``.
        build: The family's network class.
        spec: The row of the family's table.
        tiny: A spec of the same kind with one block a stage, for tests.
        paper: Where it comes from.
        input: Channels, height and width it was made for.
        classes: Length of the published output.
    """

    name: str
    family: str
    build: Build
    spec: Any
    tiny: Any
    paper: Paper
    input: tuple[int, int, int]
    classes: int

    @property
    def task(self) -> Task:
        """What it is for: ``classify`` (an `ImageModel`) or ``segment`` (a `DenseModel`)."""
        return self.build.task

    def require(self, task: Task) -> None:
        """Refuse a network that is for something else.

        Raises:
            PlanError: It is.
        """
        if self.task != task:
            gives = {"classify": "one class for the whole image", "segment": "a class for every position"}
            raise PlanError(
                f"{self.name} gives {gives[self.task]}; what is needed here gives {gives[task]}",
                hint=f"choose a network whose task is {task}: striate models lists them",
            )

    def classifier(
        self, *, classes: int | None = None, in_channels: int | None = None, options: Mapping[str, Any] | None = None
    ) -> ImageModel:
        """As `create`, where one answer an image is needed.

        Raises:
            PlanError: The network is for another task.
        """
        self.require("classify")
        model = self.create(classes=classes, in_channels=in_channels, options=options)
        assert isinstance(model, ImageModel)
        return model

    def create(
        self, *, classes: int | None = None, in_channels: int | None = None, options: Mapping[str, Any] | None = None
    ) -> StagedModel:
        """Build the network with random weights.

        Args:
            classes: Length of the output; None takes the published one.
            in_channels: Channels of the images; None takes the published one.
            options: Fields of the spec to change, nested ones by dotted names (``{"unit.stride_place": "1x1"}``).
        """
        return self.build(
            with_options(self.spec, options or {}),
            classes=self.classes if classes is None else classes,
            in_channels=self.input[0] if in_channels is None else in_channels,
        )

    @property
    def drop_path_rate(self) -> float | None:
        """The published drop path rate of the last residual function; None without stochastic depth."""
        found = _drop_path_field(self.spec)
        return None if found is None else found[1]

    def drop_path_options(self, rate: float) -> dict[str, float]:
        """The options that set the drop path rate.

        Raises:
            PlanError: The network has no stochastic depth.
        """
        found = _drop_path_field(self.spec)
        if found is None:
            having = dict.fromkeys(entry.family for entry in entries() if entry.drop_path_rate is not None)
            raise PlanError(
                f"{self.name} has no stochastic depth, so it takes no drop_path_rate",
                hint=f"these families have it: {', '.join(having)}",
            )
        return {found[0]: float(rate)}


REGISTRY: Registry[Entry] = Registry("network", UnknownModelError)


def register(
    build: Build,
    variants: Mapping[str, Any],
    *,
    tiny: Any,
    paper: Paper,
    input: tuple[int, int, int],
    classes: int,
    inputs: Mapping[str, tuple[int, int, int]] | None = None,
    aliases: Mapping[str, str] | None = None,
    family: str | None = None,
) -> None:
    """Add a family's variants to the registry.

    Args:
        build: The family's network class.
        variants: Name to spec.
        tiny: The spec used in tests.
        paper: Where the family comes from.
        input: Channels, height and width the variants were made for.
        classes: Length of the published output.
        inputs: Those of the variants that were made for others than `input`.
        aliases: Other names (timm's, torchvision's) to the name in `variants`.
        family: The module that calls (``__name__``), where `build` is an earlier paper's; None takes the class's own.
    """
    home = (family or getattr(build, "__module__", "")).rsplit(".", 1)[-1]
    for name, spec in variants.items():
        entry = Entry(
            name=name,
            family=home,
            build=build,
            spec=spec,
            tiny=tiny,
            paper=paper,
            input=(inputs or {}).get(name, input),
            classes=classes,
        )
        others = tuple(a for a, target in (aliases or {}).items() if target == name)
        REGISTRY.add(name, entry, aliases=others)


def with_options(spec: Any, options: Mapping[str, Any]) -> Any:
    """A copy of a spec with some fields changed; dotted names reach into nested specs.

    Raises:
        PlanError: The spec has no such field, or does not take the value.
    """
    known = {each.name: getattr(spec, each.name) for each in fields(spec)}
    for dotted, value in options.items():
        name, _, rest = dotted.partition(".")
        if name not in known or (rest and not is_dataclass(known[name])):
            raise PlanError(f"{type(spec).__name__} has no option {dotted!r}", hint=f"options: {', '.join(known)}")
        value = tuple(value) if isinstance(value, list) else value
        inner = with_options(getattr(spec, name), {rest: value}) if rest else value
        if not (_alike(getattr(spec, name), inner) or (inner is None and _optional(spec, name))):
            raise PlanError(f"option {dotted!r} cannot be {value!r}", hint=f"now it is {getattr(spec, name)!r}")
        try:
            spec = replace(spec, **{name: inner})
        except ValueError as error:  # the spec rejects nonsense
            raise PlanError(f"option {dotted!r} cannot be {value!r}: {error}") from error
    return spec


def _drop_path_field(spec: Any) -> tuple[str, float] | None:
    """Dotted name and value of the drop path rate in a spec, or in the spec of its unit."""
    for each in fields(spec):
        value = getattr(spec, each.name)
        if each.name == "drop_path_rate":
            return each.name, value
        if each.name == "unit" and is_dataclass(value):
            found = _drop_path_field(value)
            if found is not None:
                return f"unit.{found[0]}", found[1]
    return None


def _alike(old: Any, new: Any) -> bool:
    """Whether a spec's field can hold `new` where it held `old`, as far as kinds go."""
    if old is None:  # a spec may be given where there is none
        return new is None or is_dataclass(new)
    if is_dataclass(old):
        return is_dataclass(new)
    return isinstance(new, int | float if isinstance(old, float) else type(old)) and not isinstance(new, bool)


def _optional(spec: Any, name: str) -> bool:
    """Whether a spec's field may also hold nothing."""
    return NoneType in get_args(get_type_hints(type(spec))[name])


def entries() -> Iterator[Entry]:
    """Every registered network."""
    return (REGISTRY.get(name) for name in REGISTRY)
