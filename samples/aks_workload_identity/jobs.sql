-- As the owner of the tables, who also runs what `azpg grants` prints in the pod's environment.
CREATE TABLE jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, task text NOT NULL);
