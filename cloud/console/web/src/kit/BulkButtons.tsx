import { Button } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { lazy, Suspense, useState, type ReactNode } from 'react';
import { currentProject } from '../api/client';
import { useBulk } from './bulk';
import { numeral } from './i18n';

// No list needs it before something is asked.
const ConfirmDialog = lazy(() => import('./ConfirmDialog').then((m) => ({ default: m.ConfirmDialog })));

/** BulkAct is something that can be done with each of the rows that are selected. */
export interface BulkAct<T> {
  label: string;
  act: (row: T) => Promise<unknown>;
  /** With which rows it can be done; without it with all. */
  takes?: (row: T) => boolean;
  /** It cannot be undone: the title of the question, which wants the number of rows typed. */
  sure?: (n: number) => string;
  /** What the question says; without it the names of the rows. */
  hint?: ReactNode;
}

interface Props<T> {
  rows: T[];
  clear: () => void;
  /** What is read anew afterwards. */
  lists: string[];
  /** What a row is called in the question. */
  name: (row: T) => string;
  acts: BulkAct<T>[];
}

const shown = 20;

/** BulkButtons are the buttons above a list for the rows that are selected. */
export function BulkButtons<T>({ rows, clear, lists, name, acts }: Props<T>) {
  const cache = useQueryClient();
  const [asked, setAsked] = useState<BulkAct<T> | null>(null);
  const run = useBulk<T>(() => {
    clear();
    for (const list of lists) void cache.invalidateQueries({ queryKey: [currentProject(), list] });
  });
  const of = (a: BulkAct<T>) => (a.takes ? rows.filter(a.takes) : rows);
  const taken = asked ? of(asked) : [];
  return (
    <>
      {acts.map((a) => (
        <Button
          key={a.label}
          size="xs"
          variant={a.sure ? 'light' : 'default'}
          color={a.sure && 'red'}
          loading={run.busy}
          disabled={of(a).length === 0}
          onClick={() => (a.sure ? setAsked(a) : run.start(of(a), a.act))}
        >
          {a.label}
        </Button>
      ))}
      {asked && (
        <Suspense>
          <ConfirmDialog
            opened
            onClose={() => setAsked(null)}
            title={asked.sure?.(taken.length) ?? ''}
            action={asked.label}
            name={String(taken.length)}
            onConfirm={() => {
              setAsked(null);
              run.start(taken, asked.act);
            }}
          >
            {asked.hint ?? taken.slice(0, shown).map(name).join(', ')}
            {!asked.hint && taken.length > shown && ` … (${numeral(taken.length)})`}
          </ConfirmDialog>
        </Suspense>
      )}
    </>
  );
}
