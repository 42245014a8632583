SELECT local_key, asset_id FROM platform.gateway_asset WHERE gateway_id = $1 AND local_key = ANY ($2)
