SELECT EXISTS (SELECT FROM vault.file WHERE organization_id = $1 AND sha256 = $2)
