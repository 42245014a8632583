INSERT INTO platform.reader (role_name, organization_id) VALUES ($1::text::name, $2)
