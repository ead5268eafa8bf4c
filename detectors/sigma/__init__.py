"""Sigma rules, specification v2.1.0: rule files and flat events enter, matches with their reasons
leave.
"""

from detectors.sigma.correlation import Correlation
from detectors.sigma.nodes import Match
from detectors.sigma.rule import Refused, Rule
from detectors.sigma.ruleset import RuleSet, Warned
from detectors.sigma.view import Event

__all__ = ["Correlation", "Event", "Match", "Refused", "Rule", "RuleSet", "Warned"]
