-- The database of made-up trades, which never mix with real ones; of template0, which no background worker holds.
create database demo template template0;
