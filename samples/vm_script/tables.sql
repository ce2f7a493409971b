-- As the owner of the tables, who also runs what `azpg grants` prints on the machine.
CREATE TABLE sales (day date NOT NULL, amount numeric NOT NULL);
CREATE INDEX ON sales (day);
CREATE TABLE report (day date PRIMARY KEY, total numeric NOT NULL);
