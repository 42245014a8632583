-- The end of an organisation's log, for one relay at a time.
SELECT position FROM events.head WHERE organization_id = $1 FOR UPDATE SKIP LOCKED
