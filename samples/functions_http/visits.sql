-- As the owner of the tables, who also runs what `azpg grants` prints in the app's environment.
CREATE TABLE visits (made timestamptz NOT NULL DEFAULT now());
