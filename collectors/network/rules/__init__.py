"""Packet rules: rules of the site's own on addresses, ports and payload, in the common part of Suricata's language."""
