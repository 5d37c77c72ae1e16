"""What a benchmark says: figures with what each is held against, and sections of them."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is to reach.

    Attributes:
        limit: The bound itself; reaching it exactly is enough.
        side: Whether more or less than the limit is asked for.
        of: Whether the figure's value is bound, or its ratio to the reference.
    """

    limit: float
    side: Literal["at least", "at most"]
    of: Literal["value", "ratio"] = "ratio"

    def __str__(self) -> str:
        return f"{self.side} {self.limit:,g}{' of the reference' if self.of == 'ratio' else ''}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number beside the number it is held against.

    Attributes:
        name: What was measured, unique in its section.
        value: The median of what was measured.
        unit: Of the value and of the reference: ``s``, ``ms``, ``MiB``, ``rows/s``, ``requests``.
        against: What the reference is, in words.
        reference: The number it is held against, measured in the same run; above 0.
        target: What is asked for; None: the figure only tells.
        note: What a reader must know to read it rightly.
        samples: Every measurement of the value, in order, where there were several.
    """

    name: str
    value: float
    unit: str
    against: str
    reference: float
    target: Target | None = None
    note: str = ""
    samples: tuple[float, ...] = ()

    @property
    def ratio(self) -> float:
        """The value in terms of the reference."""
        return self.value / self.reference

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        reached = self.value if self.target.of == "value" else self.ratio
        limit = self.target.limit
        return reached >= limit if self.target.side == "at least" else reached <= limit

    def document(self) -> dict[str, Any]:
        """As JSON holds it, with the ratio and the verdict."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "against": self.against,
            "reference": self.reference,
            "ratio": self.ratio,
            "target": str(self.target) if self.target else None,
            "met": self.met,
            "note": self.note,
            "samples": list(self.samples),
        }


@dataclass(slots=True)
class Section:
    """What one benchmark says.

    Attributes:
        title: What was measured, as a heading.
        says: How it was measured: sizes, rounds, what is left out.
        figures: In the order of the table.
        data: What plots are drawn of, by the plot's name.
        missing: What could not be measured here, with what to do about it.
    """

    title: str
    says: str
    figures: list[Figure] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "title": self.title,
            "says": self.says,
            "figures": [each.document() for each in self.figures],
            "data": self.data,
            "missing": self.missing,
        }
