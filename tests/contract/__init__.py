"""Suites that every implementation of a contract must pass; an implementation's own test file subclasses them."""
