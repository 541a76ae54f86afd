"""What makes two records of the target the same."""

from dataclasses import dataclass

ID_CHARACTERS = 15
"""Of an Id, that tell one record from another."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What the target takes for the same record.

    Attributes:
        case_sensitive_key: whether keys that differ by case are two.
        parent_is_id: whether a row names its parent by Id. One of 18 characters is one of 15 and a checksum of their
            case (Salesforce, Object Reference, "ID Field Type"), and either may be written.
    """

    case_sensitive_key: bool
    parent_is_id: bool

    def spelt_alike(self, parent: str) -> str:
        """What all spellings of a parent have in common: Salesforce matches external ids without case by default."""
        return parent[:ID_CHARACTERS] if self.parent_is_id else parent.casefold()
