-- On which server a lease was taken: a replica that is promoted begins a new timeline, and a lease of the former
-- primary must be taken again before anything is committed under it.

create function database_server() returns text language plpgsql stable as $$
begin
    return (select system_identifier from pg_control_system()) || '/'
        || ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint;
exception when feature_not_supported or undefined_function or insufficient_privilege then
    return null;
end
$$;
comment on function database_server is 'This primary server as system identifier/timeline; null where the service does not tell.';

alter table lease add column server text collate "C";
comment on column lease.server is 'The server on which the lease was taken, as database_server() has it; null: by a former version, or unknown.';

create function note_lease_server() returns trigger language plpgsql as $$
begin
    new.server := database_server();
    return new;
end
$$;
comment on function note_lease_server is 'Note the server on which a lease is taken, whichever version takes it.';
create trigger lease_server before insert or update of epoch on lease
    for each row execute function note_lease_server();

create or replace function advance(
    p_role text, p_partition integer, p_owner text, p_epoch bigint, p_expected text, p_next text, p_version integer
) returns void language plpgsql as $$
begin
    if p_role = 'candles' and p_version < 14 then
        raise exception 'this worker is of a former version, and would merge candles without all their sums: update it'
            using errcode = 'TP001';
    end if;
    update lease set entry_id = p_next
    where role = p_role and partition = p_partition and owner = p_owner and epoch = p_epoch
        and entry_id = p_expected and (server is null or server = database_server());
    if not found then
        raise exception 'lease on % partition % lost by % (epoch %, at entry %): another has it, or it was taken on another server than %',
            p_role, p_partition, p_owner, p_epoch, p_expected, coalesce(database_server(), 'this one')
            using errcode = 'TP001';
    end if;
end
$$;
