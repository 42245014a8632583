-- An event of an aggregate: whoever writes another of the same one waits until this transaction ends, and gets the next
-- number in both.
WITH next AS (
    INSERT INTO events.aggregate AS a (organization_id, aggregate, sequence) VALUES ($1, $3, 1)
    ON CONFLICT (organization_id, aggregate) DO UPDATE SET sequence = a.sequence + 1
    RETURNING sequence
)
INSERT INTO events.outbox (organization_id, event_id, aggregate, sequence, name, version, payload, request_id, at)
SELECT $1, $2, $3, next.sequence, $4, $5, $6, $7, $8 FROM next
