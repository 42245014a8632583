UPDATE devices.device SET removed_at = NULL, asset_id = $2 WHERE id = $1
