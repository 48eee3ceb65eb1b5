-- Where a plant's trades come from, so that replayed and synthetic ones never mix with a venue's.

alter table plant add column source text check (source in ('live', 'replay', 'synthetic'));
comment on column plant.source is 'Where all trades come from: live (a venue''s stream), replay (captures played again) or synthetic (generated). Null until the first trade; never changes after that.';
update plant set source = 'live' where exists (select from ledger);
