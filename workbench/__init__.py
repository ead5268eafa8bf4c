"""What people do at a command line with more than one stage at hand: the rulebook, detection on files."""
