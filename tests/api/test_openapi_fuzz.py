"""Every route of the OpenAPI with whatever a generator thinks of (schemathesis), as every role: no answer is a fault of
ours, and nobody gets what their role must not see."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sites import Site, day, serving
from test_route_rights import RIGHTS

from pipeline.audit import head_of
from pipeline.identity.permissions import ROLES

_LONG = os.environ.get("HAIDANG_NIGHTLY") == "1"
_EXAMPLES = 200 if _LONG else 4
#: Routes that look at what is sent, or do nothing where nothing fits, and so may leave no row in the audit.
_MAY_CHANGE_NOTHING = {
    "POST /search/{collection}", "POST /rules/check", "POST /rules/packs/preview", "POST /rules/restore/preview",
    "POST /rules/test", "POST /alerts/changes", "POST /delivery/resend", "POST /delivery/drop", "POST /cases/{case}/alerts",
    "POST /settings/check", "POST /rules/roll-back/preview", "POST /rules/roll-back",
}  # fmt: skip
#: An answer that has no end.
_ENDLESS = "/api/v1/live"


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that may be changed in any way."""
    with serving(tmp_path_factory.mktemp("fuzzed"), day) as made:
        yield made


@pytest.mark.slow
def test_no_role_gets_a_fault_or_what_it_must_not_see(fuzzed: Site) -> None:
    secrets = {role: fuzzed.token(f"fuzz {role}", role) for role in ROLES}
    with fuzzed.client(secrets["admin"]) as client:
        document = client.get("/openapi.json").json()
    operations = [result.ok() for result in schemathesis.openapi.from_dict(document).get_all_operations()]
    assert len(operations) > 60
    asked = [operation for operation in operations if operation.path != _ENDLESS]
    faults = [fault for operation in asked for fault in _faults(fuzzed, operation, secrets)]
    assert not faults, "\n".join(faults[:20])


def _faults(site: Site, operation: Any, secrets: dict[str, str]) -> list[str]:
    """Ask a route as every role; return what should not have been answered."""
    name = f"{operation.method.upper()} {operation.path.removeprefix('/api/v1')}"
    wanted = set(RIGHTS.get(name, "").split())
    faults: list[str] = []

    @settings(
        max_examples=_EXAMPLES, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck), derandomize=not _LONG,
    )  # fmt: skip
    @given(data=st.data())
    def ask(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy())
        for role, secret in secrets.items():
            before = head_of(site.engine)
            answer = case.call(base_url=site.address, headers={"Authorization": f"Bearer {secret}"}, timeout=60)
            if answer.status_code >= 500:
                faults.append(f"{role} {name} {answer.status_code}: {case.as_curl_command()[:1500]}")
            changed = answer.status_code < 300 and operation.method != "get" and name not in _MAY_CHANGE_NOTHING
            if changed and head_of(site.engine) == before:
                faults.append(f"{role} {name}: a change that the audit does not have")
            if not wanted <= ROLES[role] and answer.status_code < 400:
                faults.append(f"{role} {name} {answer.status_code}: got what it must not see")

    ask()
    return faults
