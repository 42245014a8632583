DELETE FROM charging.sign WHERE kind = $1 AND value = $2
