"""References to publications."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A publication.

    Args:
        authors: The first author, or all authors if there are few.
        year: Year of the first publication, as a preprint or at a conference.
        month: Month of the first publication, 1 to 12.
        title: The full title.
        ref: An arXiv identifier, a DOI, or the journal and pages.
    """

    authors: str
    year: int
    month: int
    title: str
    ref: str

    @property
    def date(self) -> tuple[int, int]:
        """Year and month of the first publication. A test checks that a family imports only from earlier papers."""
        return (self.year, self.month)

    def __str__(self) -> str:
        return f"{self.authors}, {self.title}, {self.year} ({self.ref})"
