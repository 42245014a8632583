-- Events and what was delivered of them, older than $1, unless a delivery still waits.
DELETE FROM events.log AS l WHERE at < $1
AND NOT EXISTS (
    SELECT FROM events.delivery AS d
    WHERE d.organization_id = l.organization_id AND d.position = l.position AND d.state = 'waiting'
)
