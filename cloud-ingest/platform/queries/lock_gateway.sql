-- Whoever changes what belongs to a gateway does it one after the other.
SELECT id, organization_id FROM platform.gateway WHERE name = $1 FOR UPDATE
