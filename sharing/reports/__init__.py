"""Reports on a period: stored alerts enter, figures leave, and a PDF and a DOCX in which people sign them.

`period.py` says which time, `figures.py` counts as a search does, `paper.py` says it in words and tables, `book.py`
makes and keeps reports. Daily and weekly: the period, what was attacked, with what, by whom, what has changed;
half-yearly: the same by month, with systems and cases (TT 31/2017/TT-BTTTT article 10).
"""

DAILY, WEEKLY, HALF_YEARLY = "daily", "weekly", "half-yearly"
KINDS = (DAILY, WEEKLY, HALF_YEARLY)
