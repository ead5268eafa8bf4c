"""Recorded attacks of others, through the decoders, to the rules of ours that must fire on them."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from detectors.sigma import RuleSet
from tests.detectors.sigma.recordings import windows_events

RULES = RuleSet.load(Path(__file__).parents[2] / "rules")
#: Rules of ours for Windows that fire on a recording, at least: a rule that nobody's attack ever met is a guess.
LEAST_PROVEN = 45

Fired = Mapping[str, set[str]]


@pytest.fixture(scope="module")
def fired(shared_data: Path) -> Fired:
    """The recordings (by the name of their file) on which each rule (by the name of its file) fires."""
    found: dict[str, set[str]] = defaultdict(set)
    for folder in ("evtx", "sigma/regression_data"):
        for path in sorted((shared_data / folder).rglob("*.evtx")):
            for event in windows_events(path):
                for rule in RULES.evaluate(event):
                    found[Path(rule.path).stem].add(path.stem)
    return found


def test_most_windows_rules_are_proven_by_attacks_of_others(fired: Fired) -> None:
    windows = [Path(rule.path).stem for rule in RULES.rules if rule.logsource.get("product") == "windows"]
    proven = [stem for stem in windows if stem in fired]
    print(f"{len(proven)} of {len(windows)} rules for Windows fire on recordings; not yet:")
    print(*sorted(set(windows) - set(proven)), sep="\n")
    assert len(proven) >= LEAST_PROVEN


@pytest.mark.parametrize(
    ("recording", "rule"),
    [
        ("CA_DCSync_4662", "directory_replication_by_user"),
        ("DE_RDP_Tunneling_4624", "remote_desktop_tunnelled"),
        ("LM_xp_cmdshell_MSSQL_Events", "mssql_runs_commands"),
        ("MSSQL_multiple_failed_logon_EventID_18456", "mssql_log_in_refused"),
        ("disablestop-eventlog", "log_service_disabled"),
        ("exec_sysmon_lobin_regsvr32_sct", "regsvr32_runs_foreign_code"),
        ("persistence_security_dcshadow_4742", "false_domain_controller"),
        ("sysmon_10_1_memdump_comsvcs_minidump", "lsass_dumped_with_system_tool"),
        ("sysmon_20_21_1_CommandLineEventConsumer", "wmi_subscription"),
        ("de_PsScriptBlockLogging_disabled_sysmon12_13", "logging_of_powershell_off"),
        ("4794_DSRM_password_change_t1098", "rights_hidden_in_account"),
        ("LM_tsclient_startup_folder", "startup_folder_written"),
    ],
)
def test_a_recorded_attack_is_found(fired: Fired, recording: str, rule: str) -> None:
    assert recording in fired[rule]
