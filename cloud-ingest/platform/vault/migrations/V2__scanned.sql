-- Whether a scanner has looked at a file; lists of files by number.

ALTER TABLE vault.file ADD COLUMN scanned boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN vault.file.scanned IS 'A virus scanner has looked at it and found nothing; false: there was none.';
CREATE INDEX ON vault.file (organization_id, id);
