import { Alert, Button, Group, Modal, MultiSelect, Select, Stack, TextInput } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { CopyText } from '../../kit/CopyText';
import { useAct } from '../../kit/data';
import { Icon } from '../../kit/icons';
import { asked, ListPage, type Column } from '../../kit/ListPage';
import { productName, useProducts } from '../../kit/products';
import { words as kitWords } from '../../kit/text';
import { Time } from '../../kit/Time';
import { roles, useRoleName } from './roles';
import { words } from './text';

type Key = Schemas['APIKey'];

/** Keys are those of programs that use the API in the open project. */
export function Keys() {
  const t = words.use();
  const { may } = useSession();
  const products = useProducts();
  const roleName = useRoleName();
  const [making, setMaking] = useState(false);
  const write = may('key.write');
  const only = (k: Key) => (k.products ?? Object.keys(k.productRoles ?? {})).map((sn) => productName(products, sn)).join(', ');
  const columns: Column<Key>[] = [
    { id: 'name', title: t.keyName, sort: 'name', cell: (k) => k.name, csv: (k) => k.name },
    { id: 'role', title: t.role, sort: 'role', cell: (k) => (k.role ? roleName(k.role) : t.chosen), csv: (k) => k.role ?? k.permissions.join(' ') },
    { id: 'permissions', title: t.permissions, hidden: true, cell: (k) => k.permissions.join(', '), csv: (k) => k.permissions.join(' ') },
    { id: 'products', title: t.products, cell: (k) => only(k) || t.allProducts, csv: only },
    { id: 'used', title: t.used, sort: 'used', cell: (k) => <Time at={k.lastUsedAt} />, csv: (k) => k.lastUsedAt },
    { id: 'expires', title: t.expires, sort: 'expires', cell: (k) => <Time at={k.expiresAt} />, csv: (k) => k.expiresAt },
    { id: 'created', title: t.created, sort: 'created', hidden: true, cell: (k) => <Time at={k.createdAt} />, csv: (k) => k.createdAt },
    ...(write ? [{ id: 'revoke', title: t.revoke, cell: (k: Key) => <Revoke of={k} /> }] : []),
  ];
  return (
    <Stack>
      {write && (
        <Group>
          <Button leftSection={<Icon name="plus" />} onClick={() => setMaking(true)}>
            {t.makeKey}
          </Button>
        </Group>
      )}
      <ListPage<Key>
        name="keys"
        columns={columns}
        rowKey={(k) => k.id}
        empty={t.noKeys}
        filter={{ placeholder: 'role:owner used<-90d' }}
        load={(q) => take(api.GET('/v1/api-keys', { params: { query: asked(q) }, signal: q.signal }))}
      />
      {making && <Make onClose={() => setMaking(false)} />}
    </Stack>
  );
}

function Revoke({ of: key }: { of: Key }) {
  const t = words.use();
  const [asked, setAsked] = useState(false);
  const revoke = useAct(() => take(api.DELETE('/v1/api-keys/{keyID}', { params: { path: { keyID: key.id } } })), { keys: [['keys']], done: t.revoked });
  return (
    <>
      <Button size="compact-xs" variant="default" onClick={() => setAsked(true)} aria-label={`${t.revoke}: ${key.name}`}>
        {t.revoke}
      </Button>
      <ConfirmDialog opened={asked} onClose={() => setAsked(false)} title={t.revoke} action={t.revoke} name={key.name} busy={revoke.isPending} onConfirm={() => revoke.mutate(undefined, { onSettled: () => setAsked(false) })}>
        {t.revokeSure(key.name)}
      </ConfirmDialog>
    </>
  );
}

const lifetimes = [30, 90, 365];

function Make({ onClose }: { onClose: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const products = useProducts();
  const roleName = useRoleName();
  const [name, setName] = useState('');
  const [role, setRole] = useState<string>('viewer');
  const [only, setOnly] = useState<string[]>([]);
  const [life, setLife] = useState('90');
  const make = useAct(
    () => {
      const expiresAt = life === '' ? undefined : new Date(Date.now() + Number(life) * 86_400_000).toISOString();
      return take(api.POST('/v1/api-keys', { body: { name: name.trim(), role: role as Schemas['Role'], products: only.length > 0 ? only : undefined, expiresAt, pair: false } }));
    },
    { keys: [['keys']] },
  );
  return (
    <Modal opened onClose={onClose} title={t.makeKey} closeButtonProps={{ 'aria-label': kit.close }} centered closeOnClickOutside={!make.data}>
      {make.data ? (
        <Stack>
          <Alert color="teal" icon={<Icon name="check" />}>
            {t.keyMade}
          </Alert>
          <CopyText value={make.data.key ?? ''} />
          <Group justify="flex-end">
            <Button onClick={onClose}>{t.keyLost}</Button>
          </Group>
        </Stack>
      ) : (
        <form
          onSubmit={(e) => {
            e.preventDefault();
            make.mutate(undefined);
          }}
        >
          <Stack>
            <TextInput data-autofocus required label={t.keyName} value={name} onChange={(e) => setName(e.currentTarget.value)} autoComplete="off" />
            <Select label={t.role} allowDeselect={false} value={role} onChange={(r) => r && setRole(r)} data={roles.map((value) => ({ value, label: roleName(value) }))} />
            <MultiSelect label={t.onlyProducts} placeholder={only.length === 0 ? t.allProducts : ''} searchable value={only} onChange={setOnly} data={products.map((p) => ({ value: p.productSN, label: p.name || p.productSN }))} />
            <Select label={t.expires} allowDeselect={false} value={life} onChange={(v) => setLife(v ?? '')} data={[...lifetimes.map((n) => ({ value: String(n), label: t.days(n) })), { value: '', label: t.never }]} />
            <Group justify="flex-end">
              <Button variant="default" onClick={onClose}>
                {kit.cancel}
              </Button>
              <Button type="submit" loading={make.isPending} disabled={name.trim() === ''}>
                {t.makeKey}
              </Button>
            </Group>
          </Stack>
        </form>
      )}
    </Modal>
  );
}
