import { Badge, Button, Group, Stack } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { useAct } from '../../kit/data';
import { numeral } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { asked, ListPage, type Column } from '../../kit/ListPage';
import { Time } from '../../kit/Time';
import { words } from './text';

type CA = Schemas['CA'];

/** Authorities are the CAs that the hub issues certificates of devices with. */
export function Authorities() {
  const t = words.use();
  const columns: Column<CA>[] = [
    { id: 'id', title: t.fingerprint, cell: (c) => <span className="json">{c.id.slice(0, 16)}</span>, csv: (c) => c.id },
    { id: 'subject', title: t.subject, cell: (c) => c.subject, csv: (c) => c.subject },
    { id: 'status', title: t.status, sort: 'status', cell: (c) => <Status of={c} />, csv: (c) => c.status },
    { id: 'holding', title: t.holding, cell: (c) => numeral(c.holding ?? 0), csv: (c) => c.holding ?? 0 },
    { id: 'created', title: t.created, sort: 'created', cell: (c) => <Time at={c.createdAt} />, csv: (c) => c.createdAt },
    { id: 'expires', title: t.expires, sort: 'expires', cell: (c) => <Time at={c.expiresAt} />, csv: (c) => c.expiresAt },
    { id: 'retired', title: t.retired, sort: 'retired', hidden: true, cell: (c) => c.retiredAt && <Time at={c.retiredAt} />, csv: (c) => c.retiredAt },
  ];
  return (
    <Stack>
      <Rotate />
      <ListPage<CA>
        name="cas"
        columns={columns}
        rowKey={(c) => c.id}
        rowLink={(c) => `/system/cas/${c.id}`}
        filter={{ placeholder: '-status:retired' }}
        load={(q) => take(api.GET('/v1/cas', { params: { query: asked(q) }, signal: q.signal }))}
      />
    </Stack>
  );
}

const colours: Record<string, string> = { issuing: 'green', trusted: 'blue', expired: 'gray', retired: 'red' };

export function Status({ of }: { of: CA }) {
  const t = words.use();
  const names: Record<string, string> = { issuing: t.issuing, trusted: t.trusted, expired: t.expired, retired: t.retiredState };
  return (
    <Badge variant="light" color={colours[of.status ?? ''] ?? 'gray'} className="badge" data-ca={of.status}>
      {names[of.status ?? ''] ?? of.status}
    </Badge>
  );
}

/** Rotate makes a CA that issues from now on. */
function Rotate() {
  const t = words.use();
  const { mayHub } = useSession();
  const [asked, setAsked] = useState(false);
  const rotate = useAct(() => take(api.POST('/v1/cas')), { keys: [['cas'], ['ca']], done: t.rotated });
  if (!mayHub('ca.write')) return null;
  return (
    <Group>
      <Button leftSection={<Icon name="refresh" />} onClick={() => setAsked(true)}>
        {t.rotate}
      </Button>
      <ConfirmDialog opened={asked} onClose={() => setAsked(false)} title={t.rotate} action={t.rotate} busy={rotate.isPending} onConfirm={() => rotate.mutate(undefined, { onSettled: () => setAsked(false) })}>
        {t.rotateSure}
      </ConfirmDialog>
    </Group>
  );
}
