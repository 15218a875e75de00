import { Badge, Button, Group, Stack } from '@mantine/core';
import { api, take, type Schemas } from '../../api/client';
import { useAct } from '../../kit/data';
import { asked, ListPage, type Column } from '../../kit/ListPage';
import { Time } from '../../kit/Time';
import { browserOf } from './browser';
import { words } from './text';

type Session = Schemas['Session'];

/** Sessions are where the reader is logged in. */
export function Sessions() {
  const t = words.use();
  const others = useAct(() => take(api.DELETE('/v1/me/sessions')), { keys: [['sessions']], done: t.ended });
  const columns: Column<Session>[] = [
    { id: 'address', title: t.device, sort: 'address', cell: (s) => s.address, csv: (s) => s.address },
    { id: 'agent', title: t.agent, sort: 'agent', cell: (s) => <span title={s.agent}>{browserOf(s.agent ?? '')}</span>, csv: (s) => s.agent },
    { id: 'method', title: t.method, sort: 'method', cell: (s) => t[s.method], csv: (s) => s.method },
    { id: 'since', title: t.since, sort: 'created', cell: (s) => <Time at={s.createdAt} />, csv: (s) => s.createdAt },
    { id: 'seen', title: t.seen, sort: 'seen', cell: (s) => <Time at={s.seenAt} />, csv: (s) => s.seenAt },
    { id: 'expires', title: t.expires, sort: 'expires', cell: (s) => <Time at={s.expiresAt} />, csv: (s) => s.expiresAt },
    { id: 'end', title: t.end, cell: (s) => <End of={s} /> },
  ];
  return (
    <Stack>
      <Group>
        <Button variant="default" loading={others.isPending} onClick={() => others.mutate(undefined)}>
          {t.endOthers}
        </Button>
      </Group>
      <ListPage<Session>
        name="sessions"
        columns={columns}
        rowKey={(s) => s.id}
        filter={{ placeholder: 'method:password seen<-7d' }}
        load={(q) => take(api.GET('/v1/me/sessions', { params: { query: asked(q) }, signal: q.signal }))}
      />
    </Stack>
  );
}

function End({ of: s }: { of: Session }) {
  const t = words.use();
  const end = useAct(() => take(api.DELETE('/v1/me/sessions/{sessionID}', { params: { path: { sessionID: s.id } } })), { keys: [['sessions']], done: t.ended });
  if (s.current) {
    return (
      <Badge variant="light" color="teal" className="badge">
        {t.current}
      </Badge>
    );
  }
  return (
    <Button size="compact-xs" variant="default" loading={end.isPending} onClick={() => end.mutate(undefined)} aria-label={`${t.end}: ${s.address} ${s.agent}`}>
      {t.end}
    </Button>
  );
}
