INSERT INTO platform.gateway_key (organization_id, gateway_id, public_key, from_counter) VALUES ($1, $2, $3, $4)
ON CONFLICT (gateway_id, public_key) DO NOTHING
