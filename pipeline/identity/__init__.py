"""Who somebody is and what they may: accounts, their log-ins, roles and groups, data views.

`users.py` has accounts, `passwords.py`, `second_factor.py` and `oidc.py` are how somebody proves to be one, `logins.py`
puts them together to sessions; `permissions.py` has the names of what may be done, `rights.py` says who may do it, and
`views.py` what they see of it. Tokens of programs are in `pipeline/access.py`, what was done in `pipeline/audit.py`.
"""
