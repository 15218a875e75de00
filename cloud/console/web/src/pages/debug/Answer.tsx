import { Alert, Stack } from '@mantine/core';
import type { ReactNode } from 'react';
import { Facts } from '../../kit/Facts';
import { Fault } from '../../kit/Page';

interface Shown {
  good: boolean;
  title: string;
  detail?: string;
  facts?: [string, ReactNode][];
  body?: ReactNode;
}

/** Answer is what came of the last thing that was sent. */
export function Answer<R>({ of, show }: { of: { data?: R; error: Error | null; isPending: boolean }; show: (r: R) => Shown }) {
  const shown = of.data !== undefined && !of.isPending && !of.error ? show(of.data) : undefined;
  return (
    <div aria-live="polite">
      {of.error && <Fault error={of.error} />}
      {shown && (
        <Alert color={shown.good ? 'green' : 'red'} title={shown.title} data-answer={shown.good ? 'good' : 'bad'}>
          <Stack gap="xs">
            {shown.detail && <span className="wrap">{shown.detail}</span>}
            {shown.facts && <Facts of={shown.facts} />}
            {shown.body}
          </Stack>
        </Alert>
      )}
    </div>
  );
}
