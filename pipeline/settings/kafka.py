"""How to reach a Kafka cluster: the keys that `[bus]`, sources and channels of the kind `kafka` have in common."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from pipeline.settings.section import Section


class Kafka(Section):
    """How to reach a Kafka cluster."""

    servers: list[str] = Field(default_factory=list, description="Kafka: brokers to start from, as `host:port`")
    security: Literal["plaintext", "tls", "sasl_plaintext", "sasl_tls"] = Field(
        "plaintext", description="Kafka: how to connect"
    )
    ca: Path | None = Field(
        None, description="Kafka: PEM file of who signed the brokers' certificates; the system's when left out"
    )
    certificate: Path | None = Field(None, description="Kafka: PEM file of our own certificate, if the brokers ask")
    key: Path | None = Field(None, description="Kafka: PEM file of its key")
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="Kafka: SASL mechanism"
    )
    username: str = Field("", description="Kafka: SASL user")
    password: SecretStr = Field(SecretStr(""), description="Kafka: SASL password; better from the environment")
