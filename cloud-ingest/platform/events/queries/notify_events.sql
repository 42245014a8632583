SELECT pg_notify('events', '')
