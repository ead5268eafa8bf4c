"""Information systems of the organization and their levels: a CSV file enters, the law's shares leave.

Levels are those of TCVN 11930:2017 and TCVN 14423:2026 (1 to 5). `register.py` holds the systems, `shares.py` counts.
"""
