"""`[queue]`, `[cases]`: what people do with alerts."""

from pydantic import Field

from pipeline.settings.section import Section


class Queue(Section):
    """`[queue]`"""

    group_hours: float = Field(
        24, gt=0, le=720, description="alerts of a rule about an entity are one group if none comes so much later"
    )
    risk_alert: int = Field(
        250, ge=0, description="risk of an entity within 24 hours from which on it is an alert; 0: never"
    )
    daily_budget: int = Field(
        40, ge=1, description="groups of alerts that an analyst can look into in a day; what goes past it is listed"
    )
    analysts: int = Field(1, ge=1, description="analysts that are on duty in a day")
    keep_days: float = Field(
        400, ge=1, description="days after which closed groups leave the queue; never before the level lets events go"
    )


class Cases(Section):
    """`[cases]`"""

    notice_hours: float = Field(24, gt=0, description="hours from the detection within which the first notice is due")
    report_hours: float = Field(72, gt=0, description="hours from the detection within which the report is due")
    warn_hours: float = Field(4, ge=0, description="hours before either is due, in which it is an alert")
    file_mb: int = Field(20, ge=1, le=60, description="megabytes of a file in a case; of all its files 20 times that")
