"""TAXII 2.1: collections that partners read and write (`store.py`, `adding.py`, `clients.py`; the routes are in
`api/taxii.py`), and our own client for the servers of others (`client.py`)."""
