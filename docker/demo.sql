-- The database of synthetic trades, separate from that of real ones. template0 has no background worker connected.
create database demo template template0;
