SELECT count(*) FROM platform.gateway_asset WHERE gateway_id = $1
