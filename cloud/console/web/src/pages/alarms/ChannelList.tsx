import { Badge } from '@mantine/core';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { BulkButtons } from '../../kit/BulkButtons';
import { numeral, useLanguage } from '../../kit/i18n';
import { asked, ListPage, type Column } from '../../kit/ListPage';
import { Time } from '../../kit/Time';
import { useAlarmRules } from './AlarmList';
import { channelKinds } from './channels';
import { words } from './text';

type Channel = Schemas['AlarmChannel'];

export function ChannelList() {
  const t = words.use();
  const { may } = useSession();
  const rules = useAlarmRules();
  const kindName = useKindName();
  const users = (c: Channel) => rules.filter((r) => r.channels.includes(c.id)).map((r) => r.name);
  const columns: Column<Channel>[] = [
    { id: 'name', title: t.name, sort: 'name', cell: (c) => c.name, csv: (c) => c.name },
    { id: 'kind', title: t.kind, sort: 'kind', cell: (c) => kindName(c.kind), csv: (c) => c.kind },
    { id: 'health', title: t.health, sort: 'failures', cell: (c) => <Health of={c} />, csv: (c) => c.failures },
    { id: 'sent', title: t.sent, sort: 'sent', cell: (c) => <Time at={c.sentAt} />, csv: (c) => c.sentAt },
    { id: 'error', title: t.lastError, hidden: true, cell: (c) => c.lastError, csv: (c) => c.lastError },
    { id: 'errorAt', title: t.lastErrorAt, hidden: true, cell: (c) => <Time at={c.lastErrorAt} />, csv: (c) => c.lastErrorAt },
    { id: 'used', title: t.usedBy, cell: (c) => users(c).join(', '), csv: (c) => users(c).join(' ') },
    { id: 'updated', title: t.updated, sort: 'updated', hidden: true, cell: (c) => <Time at={c.updatedAt} />, csv: (c) => c.updatedAt },
  ];
  return (
    <ListPage<Channel>
      name="alarm-channels"
      columns={columns}
      rowKey={(c) => c.id}
      rowLink={(c) => `/alarms/channels/${c.id}`}
      empty={t.noChannels}
      filter={{ placeholder: 'state:failing kind:webhook' }}
      load={(q) => take(api.GET('/v1/alarm-channels', { params: { query: asked(q) }, signal: q.signal }))}
      bulk={may('alarm.write') ? (rows, clear) => <Bulk rows={rows} clear={clear} /> : undefined}
    />
  );
}

/** useKindName is a kind of channel as people know it. */
export function useKindName() {
  const language = useLanguage();
  return (kind: string) => channelKinds[kind]?.title[language === 'zh' ? 1 : 0] ?? kind;
}

export function Health({ of: c }: { of: Channel }) {
  const t = words.use();
  const state = c.failures > 0 ? 'failing' : c.sentAt ? 'works' : 'unused';
  const colours = { failing: 'red', works: 'green', unused: 'gray' } as const;
  return (
    <Badge variant="light" color={colours[state]} className="badge" data-health={state}>
      {state === 'failing' ? t.failing(numeral(c.failures)) : t[state]}
    </Badge>
  );
}

function Bulk({ rows, clear }: { rows: Channel[]; clear: () => void }) {
  const t = words.use();
  const path = (c: Channel) => ({ params: { path: { channelID: c.id } } });
  return (
    <BulkButtons
      rows={rows}
      clear={clear}
      lists={['alarm-channels']}
      name={(c) => c.name}
      acts={[
        { label: t.test, act: (c) => take(api.POST('/v1/alarm-channels/{channelID}/test', path(c))).then(refused) },
        { label: t.remove, sure: t.removeChannels, act: (c) => take(api.DELETE('/v1/alarm-channels/{channelID}', path(c))) },
      ]}
    />
  );
}

/** refused makes an error of a message that was not taken. */
function refused(r: Schemas['ConnectorTest']) {
  if (!r.ok) throw new Error(r.error);
}
