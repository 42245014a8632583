-- Why samples are absent, each reason by itself; `dropped` are those of whole blocks, for want of room:
--   produced = open + buffered + acknowledged + (dropped + thinned + refused + damaged)
ALTER TABLE stream ADD COLUMN thinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stream ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stream ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0;

-- Samples that were thinned out of a block, how often it was thinned, and whether it may ever have been published: what
-- was is never sealed anew under its number. (What an older gateway left here may have been.)
ALTER TABLE block ADD COLUMN thinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE block ADD COLUMN passes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE block ADD COLUMN offered INTEGER NOT NULL DEFAULT 1;

-- Whose samples these are, a second time: one damaged copy does not make it another gateway's.
INSERT INTO meta SELECT 'gateway again', value FROM meta WHERE key = 'gateway' ON CONFLICT DO NOTHING;

-- Ranges of numbers in one state: what the cloud's word is about.
CREATE INDEX block_by_number ON block (epoch, stream, state, seq);
