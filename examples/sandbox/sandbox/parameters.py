"""Parameter Store, where ministack is less strict than AWS: the size of a standard parameter, and tags of what is not there."""

from __future__ import annotations

from typing import Any

from ministack.services import ssm

from . import documents
from .api import AwsError, Call, Override

STANDARD_BYTES = 4096
"""What a parameter of the standard tier holds (Parameter Store quotas)."""


def _put_parameter(call: Call) -> None:
    value = call.params.get("Value", "")
    if call.params.get("Tier", "Standard") == "Standard" and len(value.encode()) > STANDARD_BYTES:
        raise AwsError(
            "ValidationException",
            "Standard tier parameters support a maximum parameter value of 4096 characters. To create a larger parameter"
            " value, upgrade the parameter to use the advanced-parameter tier.",
        )
    if "{{" in value:
        raise AwsError("ValidationException", "Parameter value can't nest another parameter. Do not use '{{}}' in the value.")


def _tags_of(call: Call) -> None:
    if call.params.get("ResourceType") == "Parameter" and call.params.get("ResourceId") not in ssm._parameters:
        raise AwsError("InvalidResourceId", "The resource ID is not valid. Verify that you entered the correct ID.")


def _after_check(override: Override) -> Override:
    def checked(call: Call) -> dict[str, Any] | None:
        _tags_of(call)
        return override(call)

    return checked


OVERRIDES: dict[str, Override] = {
    "ssm:PutParameter": _put_parameter,
    **{
        f"ssm:{action}": _after_check(documents.OVERRIDES[f"ssm:{action}"])
        for action in ("AddTagsToResource", "ListTagsForResource", "RemoveTagsFromResource")
    },
}
