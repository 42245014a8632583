INSERT INTO platform.asset (organization_id, kind, name) VALUES ($1, $2, $3) RETURNING id, created_at
