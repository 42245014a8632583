INSERT INTO platform.asset (organization_id, kind, name) VALUES ($1, 'vehicle', $2) RETURNING id
