"""NetFlow v5, v9 and IPFIX: datagrams of routers enter, the events of connections leave."""
