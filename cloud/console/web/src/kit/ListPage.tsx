import { ActionIcon, Button, Checkbox, CloseButton, Group, Menu, Paper, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { flexRender, getCoreRowModel, useReactTable, type ColumnDef, type RowSelectionState, type VisibilityState } from '@tanstack/react-table';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useMemo, useRef, useState, type ReactNode } from 'react';
import { Link } from 'wouter';
import { currentProject } from '../api/client';
import { useExport } from './export';
import { numeral } from './i18n';
import { Icon } from './icons';
import { Empty, Fault, Loading } from './Page';
import { useParamSet } from './params';
import { words } from './text';

export interface Column<T> {
  id: string;
  title: string;
  cell: (row: T) => ReactNode;
  /** The value in an exported file; without it the column is in none. */
  csv?: (row: T) => unknown;
  /** What the hub calls an order by this column. */
  sort?: string;
  /** Not shown until it is chosen. */
  hidden?: boolean;
}

export interface Query {
  filter: string;
  sort: string;
  cursor: string;
  limit: number;
  /** How many there are in all is wanted too. */
  count?: boolean;
  signal?: AbortSignal;
}

/** asked is a query as the hub's lists take it. */
export const asked = ({ filter, sort, cursor, limit, count }: Query) => ({
  filter: filter || undefined,
  sort: sort || undefined,
  cursor: cursor || undefined,
  limit,
  count: count || undefined,
});

export interface Paged<T> {
  items: T[];
  nextCursor?: string;
  total?: number;
}

export interface ListProps<T> {
  /** Of the query's key, the file and the choice of columns. */
  name: string;
  /** What else the answer depends on: the facets. */
  about?: unknown[];
  columns: Column<T>[];
  load: (q: Query) => Promise<Paged<T>>;
  rowKey: (row: T) => string;
  /** Where a row leads. */
  rowLink?: (row: T) => string;
  /** With it there is a filter line, in the hub's language of filters. */
  filter?: { placeholder: string; hint?: ReactNode };
  /** Further choices, beside the filter; they keep themselves in the address. */
  facets?: ReactNode;
  /** What can be done with rows that are selected. */
  bulk?: (rows: T[], clear: () => void) => ReactNode;
  /** How many there are, when the hub can tell. */
  total?: number;
  empty?: ReactNode;
}

const pageSizes = ['25', '50', '100', '200'];

/**
 * ListPage is a list that the hub filters, sorts and cuts into pages; never more than a page is loaded. Filter (q), order (sort), place (at)
 * and size (n) are in the address.
 */
export function ListPage<T>(props: ListProps<T>) {
  const t = words.use();
  const list = useList(props);
  const { columns, rowKey } = props;
  const [selected, setSelected] = useState<RowSelectionState>({});
  const [shown, setShown] = useColumns(props.name, columns);
  const defs = useMemo<ColumnDef<T>[]>(() => columns.map((c) => ({ id: c.id, header: c.title, cell: ({ row }) => c.cell(row.original) })), [columns]);
  const rows = list.data?.items;
  const table = useReactTable<T>({
    data: useMemo(() => rows ?? [], [rows]),
    columns: defs,
    getCoreRowModel: getCoreRowModel(),
    getRowId: rowKey,
    manualPagination: true,
    manualSorting: true,
    state: { rowSelection: selected, columnVisibility: shown },
    onRowSelectionChange: setSelected,
    onColumnVisibilityChange: setShown,
    enableRowSelection: props.bulk !== undefined,
  });
  const chosen = table.getSelectedRowModel().rows.map((r) => r.original);
  const clear = () => setSelected({});
  return (
    <Stack gap="sm">
      <Group gap="xs" align="flex-end">
        {props.filter && <FilterLine {...props.filter} value={list.filter} onApply={(q) => list.change({ q, at: '' })} />}
        {props.facets}
        <Group gap="xs" ml="auto">
          <ColumnMenu columns={columns} shown={shown} onChange={setShown} />
          <ExportButton {...props} list={list} />
        </Group>
      </Group>
      {props.bulk && chosen.length > 0 && (
        <Paper withBorder p="xs" role="region" aria-label={t.selected(chosen.length)}>
          <Group gap="sm">
            <Text size="sm">{t.selected(chosen.length)}</Text>
            {props.bulk(chosen, clear)}
            <Button size="xs" variant="subtle" onClick={clear}>
              {t.clear}
            </Button>
          </Group>
        </Paper>
      )}
      {list.error && !rows ? (
        <Fault error={list.error} retry={list.refetch} />
      ) : !rows ? (
        <Loading />
      ) : rows.length === 0 ? (
        <Empty>{list.filter ? t.noMatch : (props.empty ?? t.nothing)}</Empty>
      ) : (
        <Table.ScrollContainer minWidth={560} type="native" tabIndex={0} aria-label={props.name} role="region">
          <Table highlightOnHover verticalSpacing="xs" aria-busy={list.busy} data-list={props.name}>
            <Table.Thead>
              <Table.Tr>
                {props.bulk && (
                  <Table.Th w={36}>
                    <Checkbox
                      aria-label={t.selectAll}
                      checked={table.getIsAllRowsSelected()}
                      indeterminate={table.getIsSomeRowsSelected()}
                      onChange={table.getToggleAllRowsSelectedHandler()}
                    />
                  </Table.Th>
                )}
                {table.getFlatHeaders().map((h) => (
                  <Heading key={h.id} column={columns.find((c) => c.id === h.column.id)!} sort={list.sort} onSort={(sort) => list.change({ sort, at: '' })} />
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {table.getRowModel().rows.map((row) => (
                <Table.Tr key={row.id} bg={row.getIsSelected() ? 'var(--mantine-primary-color-light)' : undefined}>
                  {props.bulk && (
                    <Table.Td>
                      <Checkbox aria-label={t.selectRow(row.id)} checked={row.getIsSelected()} onChange={row.getToggleSelectedHandler()} />
                    </Table.Td>
                  )}
                  {row.getVisibleCells().map((cell, i) => (
                    <Table.Td key={cell.id} className="cell">
                      {i === 0 && props.rowLink ? (
                        <Link href={props.rowLink(row.original)} className="row-link">
                          {flexRender(cell.column.columnDef.cell, cell.getContext())}
                        </Link>
                      ) : (
                        flexRender(cell.column.columnDef.cell, cell.getContext())
                      )}
                    </Table.Td>
                  ))}
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      <Pager list={list} shown={rows?.length ?? 0} total={props.total ?? list.data?.total} />
    </Stack>
  );
}

type List<T> = ReturnType<typeof useList<T>>;

/** useList reads the page that the address names. */
function useList<T>({ name, about = [], load }: ListProps<T>) {
  const [params, change] = useParamSet();
  const filter = params.get('q') ?? '';
  const sort = params.get('sort') ?? '';
  const cursor = params.get('at') ?? '';
  const limit = Number(params.get('n')) || 50;
  const of = JSON.stringify([name, about, filter, sort, limit]);
  // Where each page was come to from, as far as that is known: cursors only lead on.
  const before = useRef(new Map<string, string>());
  const { data, error, refetch, isFetching } = useQuery<Paged<T>, Error>({
    queryKey: [currentProject(), name, ...about, { filter, sort, cursor, limit }],
    queryFn: ({ signal }) => load({ filter, sort, cursor, limit, count: true, signal }),
    placeholderData: keepPreviousData,
  });
  return {
    data,
    error,
    filter,
    sort,
    limit,
    cursor,
    change,
    busy: isFetching,
    refetch: () => void refetch(),
    previous: cursor === '' ? undefined : before.current.get(of + cursor),
    next: data?.nextCursor,
    goNext() {
      if (!data?.nextCursor) return;
      before.current.set(of + data.nextCursor, cursor);
      change({ at: data.nextCursor });
    },
  };
}

function FilterLine({ placeholder, hint, value, onApply }: { placeholder: string; hint?: ReactNode; value: string; onApply: (q: string) => void }) {
  const t = words.use();
  const [typed, setTyped] = useState(value);
  const [last, setLast] = useState(value);
  if (value !== last) {
    setLast(value);
    setTyped(value);
  }
  return (
    <form
      role="search"
      className="grow"
      onSubmit={(e) => {
        e.preventDefault();
        onApply(typed.trim());
      }}
    >
      <TextInput
        label={t.filter}
        description={hint}
        placeholder={placeholder}
        value={typed}
        onChange={(e) => setTyped(e.currentTarget.value)}
        leftSection={<Icon name="search" />}
        rightSection={typed !== '' && <CloseButton aria-label={t.clear} onClick={() => onApply('')} />}
        spellCheck={false}
        autoComplete="off"
        maxLength={4096}
      />
    </form>
  );
}

function Heading<T>({ column, sort, onSort }: { column: Column<T>; sort: string; onSort: (sort: string) => void }) {
  const t = words.use();
  if (!column.sort) return <Table.Th className="nowrap">{column.title}</Table.Th>;
  const up = sort === column.sort;
  const down = sort === `-${column.sort}`;
  const next = up ? `-${column.sort}` : down ? '' : column.sort;
  return (
    <Table.Th className="nowrap" aria-sort={up ? 'ascending' : down ? 'descending' : 'none'}>
      <button type="button" className="plain" onClick={() => onSort(next)} title={t.sortBy(column.title)}>
        {column.title} {(up || down) && <Icon name={up ? 'up' : 'down'} size={12} />}
      </button>
    </Table.Th>
  );
}

/** useColumns are the columns that are shown, as this browser has chosen them. */
function useColumns<T>(name: string, columns: Column<T>[]) {
  const key = `hawser.columns.${name}`;
  const [shown, set] = useState<VisibilityState>(() => {
    const initial: VisibilityState = Object.fromEntries(columns.map((c) => [c.id, !c.hidden]));
    try {
      return { ...initial, ...JSON.parse(localStorage.getItem(key) ?? '{}') };
    } catch {
      return initial;
    }
  });
  const keep = (next: VisibilityState | ((old: VisibilityState) => VisibilityState)) =>
    set((old) => {
      const now = typeof next === 'function' ? next(old) : next;
      localStorage.setItem(key, JSON.stringify(now));
      return now;
    });
  return [shown, keep] as const;
}

function ColumnMenu<T>({ columns, shown, onChange }: { columns: Column<T>[]; shown: VisibilityState; onChange: (next: VisibilityState) => void }) {
  const t = words.use();
  return (
    <Menu closeOnItemClick={false} position="bottom-end">
      <Menu.Target>
        <Button variant="default" leftSection={<Icon name="columns" />}>
          {t.columns}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {columns.map((c, i) => (
          <Menu.Item
            key={c.id}
            disabled={i === 0}
            role="menuitemcheckbox"
            aria-checked={shown[c.id] !== false}
            onClick={() => onChange({ ...shown, [c.id]: shown[c.id] === false })}
            leftSection={<span className="tick">{shown[c.id] !== false && <Icon name="check" size={14} />}</span>}
          >
            {c.title}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

function ExportButton<T>({ name, columns, load, list }: ListProps<T> & { list: List<T> }) {
  const t = words.use();
  const run = useExport({ name, columns: columns.filter((c) => c.csv), load, filter: list.filter, sort: list.sort });
  if (run.busy) {
    return (
      <Button variant="default" onClick={run.stop} leftSection={<Icon name="close" />} aria-live="polite">
        {t.exporting(numeral(run.rows))} {t.stop}
      </Button>
    );
  }
  return (
    <Button variant="default" onClick={run.start} leftSection={<Icon name="download" />}>
      {t.exportCSV}
    </Button>
  );
}

function Pager<T>({ list, shown, total }: { list: List<T>; shown: number; total?: number }) {
  const t = words.use();
  return (
    <Group justify="space-between" gap="xs">
      <Text size="sm" c="dimmed" aria-live="polite">
        {numeral(shown)} {total !== undefined && `/ ${numeral(total)}`} {t.rows(total ?? shown)}
      </Text>
      <Group gap="xs">
        <Select
          aria-label={t.perPage}
          w={84}
          size="xs"
          data={pageSizes}
          value={String(list.limit)}
          allowDeselect={false}
          onChange={(n) => list.change({ n: n === '50' ? '' : (n ?? ''), at: '' })}
        />
        <ActionIcon variant="default" aria-label={t.first} disabled={list.cursor === ''} onClick={() => list.change({ at: '' })}>
          <Icon name="first" />
        </ActionIcon>
        <ActionIcon variant="default" aria-label={t.previous} disabled={list.previous === undefined} onClick={() => list.change({ at: list.previous ?? '' })}>
          <Icon name="left" />
        </ActionIcon>
        <ActionIcon variant="default" aria-label={t.next} disabled={!list.next} onClick={list.goNext}>
          <Icon name="right" />
        </ActionIcon>
      </Group>
    </Group>
  );
}
