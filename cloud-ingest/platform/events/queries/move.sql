-- The oldest events of an organisation go to the end of its log, $2, and the head behind them. The head is locked.
WITH taken AS (
    DELETE FROM events.outbox WHERE id IN (
        SELECT id FROM events.outbox WHERE organization_id = $1 ORDER BY id LIMIT $3
    ) RETURNING *
), moved AS (
    INSERT INTO events.log (organization_id, position, event_id, aggregate, sequence, name, version, payload, request_id, at)
    SELECT organization_id, $2::bigint + row_number() OVER (ORDER BY id), event_id, aggregate, sequence, name, version, payload, request_id, at
    FROM taken
    RETURNING position
), head AS (
    UPDATE events.head SET position = $2::bigint + (SELECT count(*) FROM moved) WHERE organization_id = $1
)
SELECT count(*) FROM moved
