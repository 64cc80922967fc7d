"""What `collectors.postgresql.bloat` asks a database."""

from __future__ import annotations

# Asking for the size of a relation waits for whoever has it locked: those are left out.
TABLES = """
with held as materialized (
  select distinct l.relation from pg_catalog.pg_locks l
  where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock'
), candidate as materialized (
  select c.oid, c.relname, c.relnamespace, c.reltuples, c.relpages, c.relallvisible, c.reloptions
  from pg_catalog.pg_class c
  where c.relkind in ('r', 'm') and c.relpersistence <> 't' and c.relpages >= $1::int4
    and c.oid not in (select h.relation from held h where h.relation is not null)
  order by c.relpages desc, c.oid limit $2::int8
)
select c.oid::int8 as oid, n.nspname::text as schemaname, c.relname::text as relname,
  greatest(c.reltuples, 0)::float8 as reltuples,
  greatest(c.relpages - c.relallvisible, 0)::int8 as unseen_pages,
  coalesce(pg_catalog.pg_relation_size(c.oid::pg_catalog.regclass, 'main'), 0)::int8 as bytes,
  coalesce((select o.option_value from pg_catalog.pg_options_to_table(c.reloptions) o
    where o.option_name = 'fillfactor')::int4, 100) as fillfactor,
  pg_catalog.pg_stat_get_live_tuples(c.oid)::float8 as live,
  pg_catalog.pg_stat_get_dead_tuples(c.oid)::float8 as dead,
  pg_catalog.pg_stat_get_mod_since_analyze(c.oid)::float8 as modified,
  pg_catalog.pg_stat_get_analyze_count(c.oid) + pg_catalog.pg_stat_get_autoanalyze_count(c.oid)
    + pg_catalog.pg_stat_get_vacuum_count(c.oid) + pg_catalog.pg_stat_get_autovacuum_count(c.oid)
    as counted,
  pg_catalog.has_any_column_privilege(c.oid, 'SELECT') as may_select
from candidate c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname <> 'information_schema'
"""

INDEXES = """
with held as materialized (
  select distinct l.relation from pg_catalog.pg_locks l
  where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock'
), candidate as materialized (
  select i.*, c.relname, c.reltuples, c.reloptions
  from pg_catalog.pg_index i
  join pg_catalog.pg_class c on c.oid = i.indexrelid
  join pg_catalog.pg_am am on am.oid = c.relam and am.amname = 'btree'
  where i.indrelid = any($1::pg_catalog.oid[]) and i.indisvalid and c.relpages >= $2::int4
    and c.oid not in (select h.relation from held h where h.relation is not null)
  order by c.relpages desc, c.oid limit $3::int8
)
select i.indexrelid::int8 as oid, i.indrelid::int8 as table_oid, i.relname::text as relname,
  greatest(i.reltuples, 0)::float8 as reltuples,
  coalesce(pg_catalog.pg_relation_size(i.indexrelid::pg_catalog.regclass, 'main'), 0)::int8 as bytes,
  coalesce((select o.option_value from pg_catalog.pg_options_to_table(i.reloptions) o
    where o.option_name = 'fillfactor')::int4, 90) as fillfactor,
  i.indpred is not null as partial,
  i.indkey::int2[]::int4[] as columns,
  i.indnatts = i.indnkeyatts and not i.indisunique
    and coalesce((select o.option_value from pg_catalog.pg_options_to_table(i.reloptions) o
      where o.option_name = 'deduplicate_items'), 'on') in ('on', 'true', 'yes', '1')
    and not exists (select from pg_catalog.pg_collation co
      where co.oid = any(i.indcollation::pg_catalog.oid[]) and not co.collisdeterministic)
    as keeps_equal_once
from candidate i
"""

# Statistics of columns, and of the expressions of indexes: those stand under the index's name.
COLUMNS = """
select a.attrelid::int8 as oid, a.attnum::int4 as number, a.attlen::int4 as length, a.attalign::text as align,
  s.null_frac::float8 as null_share, s.avg_width::float8 as width, s.n_distinct::float8 as n_distinct,
  not (t.typname in ('numeric', 'float4', 'float8', 'jsonb') or t.typcategory in ('A', 'R', 'C'))
    as same_image
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_type t on t.oid = a.atttypid
left join pg_catalog.pg_stats s on s.schemaname = n.nspname and s.tablename = c.relname
  and s.attname = a.attname and not s.inherited
where a.attrelid = any($1::pg_catalog.oid[]) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum
"""

MEASURE_TABLE = """
select m.table_len, m.approx_tuple_count::float8 as rows, m.dead_tuple_len, m.approx_free_space
from {schema}.pgstattuple_approx($1::pg_catalog.oid::pg_catalog.regclass) m
"""

MEASURE_INDEX = """
select m.index_size, m.leaf_pages, m.empty_pages, m.deleted_pages, m.avg_leaf_density
from {schema}.pgstatindex($1::pg_catalog.oid::pg_catalog.regclass) m
"""
