SELECT pg_notify('outbox', '')
