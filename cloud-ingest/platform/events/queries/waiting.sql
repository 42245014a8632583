-- Organisations with events in the outbox.
SELECT DISTINCT organization_id FROM events.outbox
