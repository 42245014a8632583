SELECT kind, value, asset_id FROM charging.sign WHERE organization_id = $1
