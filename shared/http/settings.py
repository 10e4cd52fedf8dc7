"""The settings of a function: environment variables, validated at its start. template.yaml sets all of them."""

import os
from functools import cache

from pydantic import BaseModel, ConfigDict, Field

# The name of a claim, or nothing.
CLAIM = r"^[!-~]{0,128}$"


class Settings(BaseModel):
    """The environment variables of this project. Powertools and botocore read their own (POWERTOOLS_*, AWS_*)."""

    model_config = ConfigDict(frozen=True)

    table_name: str = Field(alias="TABLE_NAME", min_length=3, max_length=255, pattern=r"^[A-Za-z0-9_.-]+$")
    service_scope: str = Field(alias="SERVICE_SCOPE", default="tasks/service", pattern=r"^[!#-\[\]-~]*$")
    # The subjects of services, separated by commas.
    service_callers: str = Field(alias="SERVICE_CALLERS", default="", max_length=4096)
    tenant_claim: str = Field(alias="TENANT_CLAIM", default="", pattern=CLAIM)
    spaces_claim: str = Field(alias="SPACES_CLAIM", default="", pattern=CLAIM)
    idempotency_hours: int = Field(alias="IDEMPOTENCY_HOURS", default=24, ge=1, le=720)
    erasure_mark_days: int = Field(alias="ERASURE_MARK_DAYS", default=40, ge=36, le=3650)

    def names_service(self, subject: str) -> bool:
        """Whether the deployment names this subject as a service."""
        return subject != "" and subject in self.service_callers.split(",")


@cache
def settings() -> Settings:
    """The settings of this process. Raises pydantic's ValidationError if one is missing or malformed."""
    return Settings.model_validate(dict(os.environ))
