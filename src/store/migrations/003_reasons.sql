-- Why an operator turned a host away: it is told when it asks again.
ALTER TABLE host ADD COLUMN decided_why TEXT NOT NULL DEFAULT '';
