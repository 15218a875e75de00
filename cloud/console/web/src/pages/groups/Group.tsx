import { Badge, Button, Code, Group as Row, Modal, Stack, Text, Textarea } from '@mantine/core';
import { useState } from 'react';
import { useLocation, useParams } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { useAct, useRead } from '../../kit/data';
import { Icon } from '../../kit/icons';
import { ListPage, type Column } from '../../kit/ListPage';
import { Page, Ready } from '../../kit/Page';
import { productName, useProducts } from '../../kit/products';
import { Seen, StateBadge } from '../../kit/State';
import { words as kitWords } from '../../kit/text';
import { GroupForm } from './GroupForm';
import { words } from './text';

type Item = Schemas['Group'];
type Device = Schemas['Device'];

export function Group() {
  const t = words.use();
  const { group: name = '' } = useParams<{ group: string }>();
  const read = useRead(['group', name], (signal) => take(api.GET('/v1/groups/{group}', { params: { path: { group: name } }, signal })));
  return (
    <Page
      title={name}
      trail={[[t.title, '/groups']]}
      badge={read.data && <Badge variant="default" className="badge">{read.data.filter ? t.byFilter : t.byMembers}</Badge>}
      actions={read.data && <Actions group={read.data} />}
    >
      <Ready of={read}>
        {(g) => (
          <Stack>
            {g.description && <Text>{g.description}</Text>}
            {g.filter && <Code className="wrap">{g.filter}</Code>}
            <Devices group={g} />
          </Stack>
        )}
      </Ready>
    </Page>
  );
}

function Actions({ group }: { group: Item }) {
  const t = words.use();
  const { may } = useSession();
  const [, go] = useLocation();
  const [asked, setAsked] = useState<'edit' | 'remove' | 'add' | null>(null);
  const done = () => setAsked(null);
  const remove = useAct(() => take(api.DELETE('/v1/groups/{group}', { params: { path: { group: group.name } } })), { keys: [['groups']], done: t.removed });
  if (!may('group.write')) return null;
  return (
    <>
      {!group.filter && (
        <Button variant="default" leftSection={<Icon name="plus" />} onClick={() => setAsked('add')}>
          {t.add}
        </Button>
      )}
      <Button variant="default" leftSection={<Icon name="edit" />} onClick={() => setAsked('edit')}>
        {t.edit}
      </Button>
      <Button variant="default" c="red" leftSection={<Icon name="trash" />} onClick={() => setAsked('remove')}>
        {t.remove}
      </Button>
      {asked === 'edit' && <GroupForm group={group} onClose={done} />}
      {asked === 'add' && <AddMembers group={group} onClose={done} />}
      <ConfirmDialog opened={asked === 'remove'} onClose={done} title={t.remove} action={t.remove} name={group.name} busy={remove.isPending} onConfirm={() => remove.mutate(undefined, { onSuccess: () => go('/groups'), onError: done })}>
        {t.removeSure(group.name)}
      </ConfirmDialog>
    </>
  );
}

/** membersOf reads lines like product/device; null when one is not. */
export function membersOf(text: string): Schemas['DeviceName'][] | null {
  const lines = text.split(/\s+/).filter(Boolean);
  const names = lines.map((l) => /^([^/]+)\/([^/]+)$/.exec(l));
  return names.every((m) => m !== null) ? names.map((m) => ({ productSN: m![1]!, deviceSN: m![2]! })) : null;
}

function AddMembers({ group, onClose }: { group: Item; onClose: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const [text, setText] = useState('');
  const devices = membersOf(text);
  const add = useAct(() => take(api.POST('/v1/groups/{group}/devices:add', { params: { path: { group: group.name } }, body: { devices: devices ?? [] } })), { keys: [['group-devices', group.name]], done: (r) => t.added(r.changed) });
  return (
    <Modal opened onClose={onClose} title={t.add} closeButtonProps={{ 'aria-label': kit.close }} centered>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          add.mutate(undefined, { onSuccess: onClose });
        }}
      >
        <Stack>
          <Textarea label={t.device} description={t.addHint} autosize minRows={4} maxRows={14} value={text} error={devices === null && t.wrong} onChange={(e) => setText(e.currentTarget.value)} spellCheck={false} data-autofocus />
          <Row justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {kit.cancel}
            </Button>
            <Button type="submit" disabled={!devices || devices.length === 0} loading={add.isPending}>
              {t.add}
            </Button>
          </Row>
        </Stack>
      </form>
    </Modal>
  );
}

function Devices({ group }: { group: Item }) {
  const t = words.use();
  const { may } = useSession();
  const products = useProducts();
  const takeOut = useAct(
    (rows: Device[]) => take(api.POST('/v1/groups/{group}/devices:remove', { params: { path: { group: group.name } }, body: { devices: rows.map(({ productSN, deviceSN }) => ({ productSN, deviceSN })) } })),
    { keys: [['group-devices', group.name]], done: (r) => t.takenOut(r.changed) },
  );
  const columns: Column<Device>[] = [
    { id: 'sn', title: t.device, sort: 'sn', cell: (d) => d.deviceSN, csv: (d) => d.deviceSN },
    { id: 'name', title: t.name, sort: 'name', cell: (d) => d.name, csv: (d) => d.name },
    { id: 'product', title: t.product, cell: (d) => productName(products, d.productSN), csv: (d) => d.productSN },
    { id: 'state', title: t.state, cell: (d) => <StateBadge state={d.state} />, csv: (d) => d.state },
    { id: 'seen', title: t.seen, sort: 'lastSeen', cell: (d) => <Seen device={d} />, csv: (d) => d.lastSeen },
  ];
  return (
    <ListPage<Device>
      name="group-devices"
      about={[group.name, group.revision]}
      columns={columns}
      rowKey={(d) => `${d.productSN}/${d.deviceSN}`}
      rowLink={(d) => `/devices/${d.productSN}/${encodeURIComponent(d.deviceSN)}`}
      empty={t.empty}
      load={({ sort, cursor, limit, signal }) => take(api.GET('/v1/groups/{group}/devices', { params: { path: { group: group.name }, query: { sort: sort || undefined, cursor: cursor || undefined, limit } }, signal }))}
      bulk={
        group.filter || !may('group.write')
          ? undefined
          : (rows, clear) => (
              <Button size="xs" variant="default" loading={takeOut.isPending} onClick={() => takeOut.mutate(rows, { onSuccess: clear })}>
                {t.takeOut(rows.length)}
              </Button>
            )
      }
    />
  );
}
