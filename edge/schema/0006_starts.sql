-- A file of this folder, once released, is never edited: a change is the next number.

-- How often in a row the program began with this checkpoint and ended before it made a step: too
-- often, and it is what the program fails of.
ALTER TABLE checkpoints ADD COLUMN starts INTEGER NOT NULL DEFAULT 0;
