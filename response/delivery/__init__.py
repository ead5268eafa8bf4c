"""The stage `delivery`: messages in the state enter, each channel gets its own, and receipts leave.

A worker for each channel (`worker.py`), so that one that is slow or away holds no other.
"""
