-- Only of an asset that the transaction may see.
INSERT INTO sample.readiness (organization_id, asset_id, state_of_charge, declared_at)
SELECT organization_id, id, $2, $3 FROM platform.asset WHERE id = $1
RETURNING id
