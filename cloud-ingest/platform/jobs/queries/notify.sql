-- Heard by the workers when the transaction commits; said once however often it is said in it.
SELECT pg_notify('jobs', '')
