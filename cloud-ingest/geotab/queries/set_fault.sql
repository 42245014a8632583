UPDATE geotab.account SET fault = $2 WHERE id = $1
