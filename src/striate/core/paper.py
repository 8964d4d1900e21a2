"""Where a network comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A publication.

    Args:
        authors: First author, or all of them when there are few.
        year: Of first publication (preprint or conference, whichever came first).
        month: 1 to 12.
        title: In full.
        ref: An arXiv number, a DOI, or journal and pages.
    """

    authors: str
    year: int
    month: int
    title: str
    ref: str

    @property
    def date(self) -> tuple[int, int]:
        """Year and month, for the test that a family imports only from earlier papers."""
        return (self.year, self.month)

    def __str__(self) -> str:
        return f"{self.authors}, {self.title}, {self.year} ({self.ref})"
