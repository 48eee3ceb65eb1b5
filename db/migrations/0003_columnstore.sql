-- Trades may lie in the columnstore, where TimescaleDB can write to it directly. Nothing moves there by itself.

do $$
begin
    if current_setting('timescaledb.enable_direct_compress_copy', true) is not null
        and current_setting('timescaledb.license', true) = 'timescale'
    then
        -- In the order of a symbol's pages, so that a page reads a few batches of a thousand trades.
        alter table trades set (
            timescaledb.enable_columnstore,
            timescaledb.segmentby = 'venue, symbol',
            timescaledb.orderby = 'event_time, trade_id'
        );
    end if;
end
$$;
